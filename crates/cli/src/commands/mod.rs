//! One file per subcommand.

pub mod backtest;
pub mod data;
pub mod doctor;
pub mod export;
pub mod figures;
pub mod fit;
pub mod frontier;
pub mod gc;
pub mod import;
pub mod logs;
pub mod merge;
pub mod plan;
pub mod predict;
pub mod profiles;
pub mod query;
pub mod report;
pub mod retry;
pub mod serve;
pub mod shape;
pub mod status;
pub mod suggest;
pub mod sweep;
