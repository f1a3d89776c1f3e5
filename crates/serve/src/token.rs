//! What opens a page that others could reach: 128 bits of the system's randomness.

use std::fmt;

/// Compared by hash, in constant time: how long a wrong one takes says nothing of the right one.
#[derive(Clone)]
pub struct Token(String);

#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers ({0})")]
pub struct NoRandomness(getrandom::Error);

impl Token {
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub fn is(&self, given: &str) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(given.as_bytes())
    }
}

/// For the one line that tells the user.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Never into a log by accident.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_new_each_time_and_only_itself() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.to_string().len(), 32);
        assert!(one.is(&one.to_string()) && !one.is(&other.to_string()) && !one.is(""));
        assert_eq!(format!("{one:?}"), "Token(..)");
    }
}
