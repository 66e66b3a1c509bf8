//! A section of the settings: its keys, and a reader that gives their values by kind. What it reads
//! from is config's business.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::text::parse_duration;
use crate::tls::TlsFiles;

/// What a value has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown, and may stand in a file of its own.
    Secret,
    /// A file: relative to the settings file, or, from a variable, to the working directory.
    Path,
    /// A folder of the project: always relative to the settings file.
    Folder,
    /// A port number.
    Port,
    /// A whole number from 0.
    Number,
    /// True or false.
    Flag,
    /// A time such as `30s`.
    Duration,
    /// Several texts: a list in the file, parted by commas in a variable.
    List,
}

impl Kind {
    /// What to write, for hints.
    pub fn wanted(self) -> &'static str {
        match self {
            Kind::Text | Kind::Secret => "a string, in quotes",
            Kind::Path => "the path of a file, in quotes",
            Kind::Folder => "the path of a folder, in quotes",
            Kind::Port => "a port number, from 1 to 65535",
            Kind::Number => "a whole number, from 0",
            Kind::Flag => "true or false",
            Kind::Duration => "a time such as \"30s\", \"2m\" or a number of seconds",
            Kind::List => "a list of strings, or one string parted by commas",
        }
    }
}

/// One key of a section.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What holds where it is not set; empty where that is nothing.
    pub default: Cow<'static, str>,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// A key.
pub const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default: Cow::Borrowed(default), meaning }
}

/// The keys that [`Reader::tls_files`] reads.
pub const TLS_FILES: &[Key] = &[
    key(
        "ca_file",
        Kind::Path,
        "the system's",
        "The authority that signed the server's certificate (PEM).",
    ),
    key("cert_file", Kind::Path, "", "Our certificate, where the server asks for one (PEM)."),
    key("key_file", Kind::Path, "", "The key of our certificate (PEM)."),
];

/// How long an attempt to connect may take.
pub const CONNECT_TIMEOUT: &[Key] =
    &[key("connect_timeout", Kind::Duration, "", "How long one attempt to connect may take.")];

/// What a value says.
#[derive(Clone, Debug)]
pub enum Content {
    /// The text itself.
    Text(Secret),
    /// The path of a file: the value of a path key, or what holds a secret.
    File(PathBuf),
}

/// The values of one section, wherever they come from.
pub trait Values {
    /// The strongest value of a key; `None` where it is not set, or empty.
    fn content(&self, key: &str) -> Option<Content>;

    /// The value of a key that is never shown, read from its file where it is in one.
    fn secret(&mut self, key: &str) -> Secret;

    /// Records that the value of `key` cannot be used: what is wrong with it, and what to write.
    fn refuse(&mut self, key: &str, what: &str, hint: &str);

    /// Warns where others may read the file of a key.
    fn warn_if_exposed(&mut self, path: &std::path::Path);

    /// The value of a variable that is not the tool's own, unless it is empty.
    fn variable(&self, name: &str) -> Option<String>;

    /// Records that the value of such a variable cannot be used.
    fn refuse_variable(&mut self, name: &str, what: &str, hint: &str);

    /// The user's home.
    fn home(&self) -> Option<PathBuf>;

    /// Warns of something that is not wrong.
    fn warn(&mut self, text: String);
}

/// Reads the values of one section by kind; what is wrong with them is gathered, so that it comes all
/// at once.
pub struct Reader<'v>(pub &'v mut dyn Values);

impl Reader<'_> {
    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.parse(key, "text", |text| Some(text.to_string()))
    }

    /// A text that is never shown.
    pub fn secret(&mut self, key: &str) -> Secret {
        self.0.secret(key)
    }

    /// A time.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.parse(key, Kind::Duration.wanted(), parse_duration)
    }

    /// The certificates.
    pub fn tls_files(&mut self) -> TlsFiles {
        let files = TlsFiles {
            ca_file: self.path("ca_file"),
            cert_file: self.path("cert_file"),
            key_file: self.path("key_file"),
        };
        if let Some(key_file) = &files.key_file {
            self.0.warn_if_exposed(key_file);
        }
        files
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        match self.0.content(key)? {
            Content::File(path) => Some(path),
            Content::Text(text) => Some(PathBuf::from(text.expose())),
        }
    }

    /// A port number.
    pub fn port(&mut self, key: &str) -> Option<u16> {
        let port = |text: &str| is_port(text.trim()).then(|| text.trim().parse().ok()).flatten();
        self.parse(key, Kind::Port.wanted(), port)
    }

    /// One of `words`.
    pub fn one_of(&mut self, key: &str, words: &[&str]) -> Option<String> {
        let known = |text: &str| words.contains(&text).then(|| text.to_string());
        self.parse(key, &format!("one of {}", words.join(", ")), known)
    }

    /// One of `words`, in capitals or not.
    pub fn one_of_any_case(&mut self, key: &str, words: &[&'static str]) -> Option<String> {
        let known = |text: &str| {
            let text = text.trim();
            words.iter().find(|word| word.eq_ignore_ascii_case(text)).map(|word| word.to_string())
        };
        self.parse(key, &format!("one of {}", words.join(", ")), known)
    }

    /// A whole number from 0.
    pub fn number(&mut self, key: &str) -> Option<i64> {
        let number = |text: &str| text.trim().parse().ok().filter(|number| *number >= 0);
        self.parse(key, Kind::Number.wanted(), number)
    }

    /// True or false.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.parse(key, Kind::Flag.wanted(), |text| match text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// A host, which messages show: a URL with a password in it must not get there.
    pub fn host(&mut self, key: &str) -> Option<String> {
        let fits =
            |text: &str| (!text.contains("://") && !holds_user(text)).then(|| text.to_string());
        self.parse(key, "a host name alone; a whole URL goes into `url`", fits)
    }

    /// The host, or several, of a server whose port is a key of its own.
    pub fn hosts_alone(&mut self, key: &str) -> Option<String> {
        let hosts = self.host(key)?;
        let is_socket = |host: &str| host.starts_with(['/', '@']);
        let names = hosts.split(',').map(str::trim).filter(|host| !is_socket(host));
        let has_port = |host: &str| {
            let port = host.rsplit_once(':').map(|(_, port)| port);
            host.matches(':').count() == 1 && port.is_some_and(|port| port.parse::<u32>().is_ok())
        };
        let wrong = names.clone().find_map(|host| match host {
            "" => Some(("has an empty entry", "write the host alone")),
            host if has_port(host) => {
                Some(("has a port in it", "write the host alone; the port goes into `port`"))
            }
            host if host.contains([' ', ';', '/', '?', '\t']) => {
                Some(("is no host", "write the host alone, several parted by commas"))
            }
            _ => None,
        });
        match wrong {
            None => Some(hosts),
            Some((what, hint)) => {
                self.0.refuse(key, what, hint);
                None
            }
        }
    }

    /// A list of texts.
    pub fn list(&mut self, key: &str) -> Vec<String> {
        let read = |text: &str| Some(items(text).map(str::to_string).collect());
        self.parse(key, Kind::List.wanted(), read).unwrap_or_default()
    }

    /// Hosts with their ports, where they have one; `port` is the usual one, for hints.
    pub fn hosts(&mut self, key: &str, port: u16) -> Vec<String> {
        let fits = |text: &str| {
            (!holds_user(text))
                .then(|| text.split(',').map(|host| host.trim().to_string()).collect())
        };
        let wanted = "hosts parted by commas; users and passwords have keys of their own";
        let hosts: Vec<String> = self.parse(key, wanted, fits).unwrap_or_default();
        match hosts.iter().find_map(|host| wrong_host(host)) {
            None => hosts,
            Some((what, hint)) => {
                let form = format!("{hint}: host:{port}, or host:{port},other:{port}");
                self.0.refuse(key, what, &form);
                Vec::new()
            }
        }
    }

    /// A URL that messages show, and that therefore must not hold a password.
    pub fn open_url(&mut self, key: &str) -> String {
        let fits = |text: &str| (!holds_user(text)).then(|| text.to_string());
        let wanted = "the URL without a user or password; `api_key` is a key of its own";
        self.parse(key, wanted, fits).unwrap_or_default()
    }

    /// The value that `parse` makes of the text; messages never show the text.
    pub fn parse<T>(
        &mut self,
        key: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = match self.0.content(key)? {
            Content::Text(text) => parse(text.expose()),
            Content::File(_) => None,
        };
        if parsed.is_none() {
            self.0.refuse(key, "has a value that cannot be used", &format!("write {wanted}"));
        }
        parsed
    }
}

/// The items of a list, parted by commas.
pub fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Whether it is a number that a port can have.
pub fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// What is wrong with one of several hosts, each with its port, and what to write.
fn wrong_host(text: &str) -> Option<(&'static str, &'static str)> {
    let bracketed = text.strip_prefix('[').map(|rest| rest.split_once(']'));
    let (name, port) = match bracketed {
        Some(Some((name, rest))) => {
            (name, rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
        }
        Some(None) => ("", None),
        None => text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    match name {
        _ if text.is_empty() => Some(("has an empty entry", "part hosts by one comma each")),
        _ if text.starts_with('/') && text.ends_with(".sock") => None,
        _ if text.contains("://") => Some((
            "has a scheme in it",
            "write hosts and ports alone; whether TLS is spoken has a key of its own",
        )),
        _ if text.contains(['"', '\'']) => {
            Some(("has quotes in it", "leave the quotes out: nothing takes them away"))
        }
        _ if text.contains([' ', ';', '\t', '|']) => {
            Some(("has hosts that are not parted by commas", "part them by commas"))
        }
        _ if text.contains(['/', '?', '#']) => {
            Some(("has a path in it", "write hosts and ports alone"))
        }
        name if bracketed.is_none() && name.contains(':') => Some((
            "has an IPv6 address without brackets",
            "write it as [::1]:PORT, others as they are",
        )),
        "" => Some(("has an entry without a host", "write each with its host")),
        _ if port.is_some_and(|port| !is_port(port)) => {
            Some(("has a port that cannot be used", "a port is a number from 1 to 65535"))
        }
        _ => None,
    }
}

/// Abstract sockets begin with `@`; no host has it further on.
fn holds_user(text: &str) -> bool {
    text.char_indices().any(|(at, c)| c == '@' && at > 0)
}
