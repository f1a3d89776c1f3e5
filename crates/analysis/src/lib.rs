//! Laws, robust fits, bootstrap intervals and frontiers: points and a seed in, a [`Fit`] out.
//!
//! Pure: the same points, options and seed give the same fit, bit for bit, on any number of
//! threads. Nothing is read, written or printed here, no row is dropped, and nothing is known of
//! sweeps or stores: the caller says what a point's configuration and cluster are.
//!
//! | module | one idea |
//! |---|---|
//! | [`law`] | what a law is; one file per law |
//! | [`point`] | points, seed means, the frontier |
//! | [`mod@fit`], [`warning`] | the estimate and its intervals; what to doubt about it |
//! | `search` | many starts, one answer |
//! | `objective`, `minimise`, `start` | Huber on log residuals; its minimum; where to look for it |
//! | `bootstrap`, `design` | whole clusters drawn again, and what the law then sees |

pub mod backtest;
mod bootstrap;
pub mod check;
pub mod decision;
mod design;
pub mod fit;
pub mod forecast;
pub mod frontier;
pub mod isoflop;
pub mod law;
mod linear;
pub mod loss;
mod minimise;
pub mod mixture;
mod objective;
pub mod point;
mod profile;
mod random;
mod search;
mod start;
pub mod suggest;
pub mod warning;

pub use decision::{DecisionError, Estimate, Optimum};
pub use fit::{Fit, FitError, FitOptions, Labels, Prediction, fit};
pub use forecast::{Forecast, ForecastOptions};
pub use law::Law;
pub use loss::Loss;
pub use mixture::{Component, Mixture};
pub use point::{MeanPoint, Point, Selection, frontier, labels, seed_means, seed_noise};
pub use warning::{Code, Warning};
