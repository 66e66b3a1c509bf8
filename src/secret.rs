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

/// Secrets that a store was told, and how to leave them out of what it says.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<Secret>);

/// So much of the beginning of a secret gives it away; shorter pieces are found in any text.
const TELLING: usize = 8;

impl Secrets {
    /// The texts in `secrets`; each line of one with several counts by itself.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Secrets {
        let mut all: Vec<String> = Vec::new();
        for secret in secrets {
            let escaped = serde_json::Value::from(secret).to_string();
            all.push(secret.to_string());
            all.push(escaped.trim_matches('"').to_string());
            all.extend(secret.lines().filter(|line| line.len() >= TELLING).map(str::to_string));
        }
        all.retain(|secret| !secret.is_empty());
        all.sort();
        all.dedup();
        Secrets(all.into_iter().map(Secret::new).collect())
    }

    /// `text` with `…` in place of each secret, and of what is left of one that was cut off.
    pub fn hide(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let length = self.0.iter().map(|secret| common(rest, secret.expose())).max();
            match length {
                None | Some(0) => {
                    shown.push(next);
                    rest = &rest[next.len_utf8()..];
                }
                Some(length) => {
                    shown.push('…');
                    rest = &rest[length..];
                }
            }
        }
        shown
    }
}

/// How many bytes of `text` are `secret` or so much of its beginning that it gives it away.
fn common(text: &str, secret: &str) -> usize {
    let same = text.chars().zip(secret.chars()).take_while(|(here, there)| here == there);
    let length = same.map(|(here, _)| here.len_utf8()).sum();
    match length >= TELLING.min(secret.len()) {
        true => length,
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_left_of_a_secret_is_hidden_too() {
        let secrets = super::Secrets::new(["correct horse", "tail\"\nof two lines", "", "abc"]);
        let hidden = |text: &str| secrets.hide(text);
        assert_eq!(hidden("is correct horse, or correct ho"), "is …, or …");
        assert_eq!(hidden("the correct answer, as corrected"), "the …answer, as corrected");
        assert_eq!(hidden("'tail\"\nof two lines' 'tail\\\"\\nof two lines'"), "'…' '…'");
        assert_eq!(hidden("no 'of two lines' and no abcd"), "no '…' and no …d");
        assert_eq!(super::Secrets::default().hide("as it is"), "as it is");
    }

    #[test]
    fn cannot_be_printed() {
        let shown = format!("{:?}", super::Secret::new("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
