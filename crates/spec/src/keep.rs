//! Which checkpoints a sweep leaves behind.

use serde::{Deserialize, Serialize};

/// `keep` of the table `[checkpoints]`: what stays when nothing that is planned starts from it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    None,
    /// Trunks, so that a later sweep with longer trials continues from them.
    #[default]
    Trunks,
    /// The ends of trials as well, so that a later sweep evaluates them on other tasks.
    All,
}
