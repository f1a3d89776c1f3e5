//! One file per subcommand.

pub mod data;
pub mod doctor;
pub mod figures;
pub mod fit;
pub mod plan;
pub mod query;
pub mod shape;
pub mod status;
pub mod sweep;
