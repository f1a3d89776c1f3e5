//! Laws, robust fits, forecasts, best allocations and what to run next: points and a seed in, an
//! estimate with its interval out.
//!
//! Pure: the same points, options and seed give the same fit, bit for bit, on any number of
//! threads. Nothing is read, written or printed here, no row is dropped, and nothing is known of
//! sweeps or stores: the caller says what a point's configuration and cluster are. Only a backtest
//! looks at a clock, to say how long each estimator took.
//!
//! | module | one idea |
//! |---|---|
//! | [`law`] | what a law is; one file per law |
//! | [`point`], [`check`] | points, seed means, the frontier; what is wrong with them before any fit |
//! | [`mod@fit`], [`warning`] | the estimate and its intervals; what to doubt about it |
//! | [`loss`], `objective` | what a residual costs, and their sum |
//! | `search`, `start`, `minimise`, `linear` | many starts, one answer; where they are; one minimum; its algebra |
//! | `bootstrap`, `design`, `random` | whole clusters drawn again, and what the law then sees |
//! | `profile` | intervals without a bootstrap |
//! | [`decision`] | answers with intervals: the compute for an error, the best size for a compute |
//! | [`forecast`], [`mixture`] | the default estimator; what it says, as a distribution |
//! | [`mod@backtest`] | which estimator extrapolates best |
//! | [`mod@frontier`], [`isoflop`] | envelopes; parabolas at equal compute |
//! | [`mod@suggest`] | what to run next |

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
