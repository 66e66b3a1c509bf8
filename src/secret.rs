//! Passwords, as a type that cannot be printed.

use secrecy::{ExposeSecret, SecretString};

/// A password, API key or URL that holds one. `Debug` shows nothing of it; there is no `Display`.
#[derive(Clone, Debug, Default)]
pub struct Secret(Option<SecretString>);

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Some(SecretString::from(text.into())))
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// The text, for the one place that hands it to a driver.
    pub fn expose(&self) -> &str {
        self.0.as_ref().map_or("", |secret| secret.expose_secret())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cannot_be_printed() {
        let shown = format!("{:?}", super::Secret::new("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
