//! The live page of a store: typed views in, HTTP out.
//!
//! Whoever has the data implements [`Source`]; this crate asks it, remembers what changed when
//! ([`Board`]), says so to browsers as it happens, and serves the page that draws it. Only GET, no state
//! of its own that matters, nothing that writes. What comes from an address is an id, a name or a number
//! before it reaches the source; no path does.
//!
//! On a loopback address the Host header must name one, so that no foreign page reaches this one by
//! a name of its own; anywhere else a [`Token`] is needed. The page runs under a content security
//! policy that allows its own files alone.

mod asset;
mod board;
mod guard;
mod hub;
mod route;
mod source;
mod stream;
mod thin;
mod token;
mod view;

pub use board::{Board, Mark};
pub use guard::Guard;
pub use route::{router, serve};
pub use source::{Source, SourceError};
pub use thin::thin;
pub use token::Token;
pub use view::{
    AttemptView, Counts, Course, FitAsked, FitView, ForecastView, Group, LawView, Listing,
    ParamView, Row, State, Sweep, SweepSummary, Target, TrialSweep, TrialView,
};
