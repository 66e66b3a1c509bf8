//! Passwords, as a type that cannot be printed.

pub mod literals;
mod template;

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

use template::Finder;
pub use template::{Fit, Form, OTHER, as_in_a_file, names_in};

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

/// Secret values by the names of their placeholders, and how to leave them out of a text.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    named: Vec<Named>,
    /// The values in every form in which a server may give them back.
    traces: Vec<Secret>,
    finder: Finder,
}

/// A value of a placeholder.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    value: Secret,
    /// Whether it is today's value, and not one that was found in a store.
    is_today: bool,
}

/// So much of the beginning of a secret gives it away; shorter pieces are found in any text.
const TELLING: usize = 8;

impl Secrets {
    /// The secrets of `named`: the names of placeholders and their values. Each line of a value with
    /// several is hidden by itself, too.
    pub fn new<'a>(named: impl IntoIterator<Item = (&'a str, &'a str)>) -> Secrets {
        Secrets::of(named.into_iter().map(|(name, value)| Named::new(name, value, true)).collect())
    }

    /// These, and further values of placeholders that stand in a store: what a secret was before today.
    pub fn with(&self, others: &[(String, String)]) -> Secrets {
        let others = others.iter().map(|(name, value)| Named::new(name, value, false));
        Secrets::of(self.named.iter().cloned().chain(others).collect())
    }

    fn of(mut named: Vec<Named>) -> Secrets {
        named.retain(|one| !one.value.is_empty());
        let mut traces: Vec<String> = Vec::new();
        for one in &named {
            let value = one.value.expose();
            traces.extend(template::forms(value));
            traces.extend(value.lines().filter(|line| line.len() >= TELLING).map(str::to_string));
            traces.extend(template::fragments(value));
        }
        traces.sort();
        traces.dedup();
        let traces = traces.into_iter().map(Secret::new).collect();
        Secrets { named, traces, finder: Finder::default() }
    }

    /// `text` with `…` in place of each secret, of what is left of one that was cut off, and of
    /// passwords that are written out in it.
    pub fn hide(&self, text: &str) -> String {
        if self.traces.is_empty() {
            return literals::hide(text).into_owned();
        }
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let length = self.traces.iter().map(|secret| common(rest, secret.expose())).max();
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
        match literals::hide(&shown) {
            Cow::Borrowed(_) => shown,
            Cow::Owned(hidden) => hidden,
        }
    }
}

impl Named {
    fn new(name: &str, value: &str, is_today: bool) -> Named {
        Named { name: name.to_string(), value: Secret::new(value), is_today }
    }
}

/// How many bytes of `text` are `secret` or so much of its beginning that it gives it away. Servers fold
/// the case of names.
fn common(text: &str, secret: &str) -> usize {
    let folds = secret.len() >= TELLING;
    let is_same =
        |here: char, there: char| here == there || folds && here.eq_ignore_ascii_case(&there);
    let same = text.chars().zip(secret.chars()).take_while(|(here, there)| is_same(*here, *there));
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
        let secrets = super::Secrets::new([
            ("a", "correct horse"),
            ("b", "tail\"\nof two lines"),
            ("c", ""),
            ("d", "abc"),
        ]);
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
