//! libpq's connection strings, read as libpq reads them, and what each of its parameters may say here.
//!
//! No message shows a value: names of parameters are no secrets, and what stands behind them may be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::secret::Secret;
use crate::section;
use crate::text::document::nearest;

/// Parameters with their values, whatever they come from.
#[derive(Clone, Debug, Default)]
pub struct Conninfo(BTreeMap<&'static str, Secret>);

/// What is wrong with a connection string, and what to write in its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What follows the name of the setting.
    pub what: String,
    /// What to write.
    pub hint: String,
}

impl Wrong {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), hint: hint.into() }
    }
}

/// A server as it is named: one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name, or the folder of its socket.
    pub name: String,
    /// Its address, where that is not looked up.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

/// A parameter of libpq's.
struct Parameter {
    name: &'static str,
    /// The variable that gives its default; empty where none does.
    variable: &'static str,
    check: Check,
}

/// What a parameter may say.
enum Check {
    Text,
    Number,
    Hosts,
    Ports,
    Addresses,
    /// One of these, as in libpq.
    OneOf(&'static [&'static str]),
    /// These of what libpq takes; why not the others.
    Only(&'static [&'static str], &'static str),
    /// Nothing; why not.
    Never(&'static str),
}

use Check::{Addresses, Hosts, Never, Number, OneOf, Only, Ports, Text};

const fn parameter(name: &'static str, variable: &'static str, check: Check) -> Parameter {
    Parameter { name, variable, check }
}

/// The parameters of libpq 16 and 17. What a migration does must not depend on who runs it: variables that
/// change what SQL means (PGTZ, PGDATESTYLE, PGCLIENTENCODING) are not among them.
static PARAMETERS: &[Parameter] = &[
    parameter("service", "PGSERVICE", Text),
    parameter("host", "PGHOST", Hosts),
    parameter("hostaddr", "PGHOSTADDR", Addresses),
    parameter("port", "PGPORT", Ports),
    parameter("dbname", "PGDATABASE", Text),
    parameter("user", "PGUSER", Text),
    parameter("password", "PGPASSWORD", Text),
    parameter("passfile", "PGPASSFILE", Text),
    parameter("options", "PGOPTIONS", Text),
    parameter("connect_timeout", "PGCONNECT_TIMEOUT", Number),
    // The tool names its sessions itself.
    parameter("application_name", "PGAPPNAME", Text),
    parameter("fallback_application_name", "", Text),
    parameter(
        "client_encoding",
        "",
        Only(
            &["auto", "UTF8", "utf8", "UTF-8", "utf-8", "unicode"],
            "migrations are sent as UTF-8",
        ),
    ),
    parameter("keepalives", "", OneOf(&["0", "1"])),
    parameter("keepalives_idle", "", Number),
    parameter("keepalives_interval", "", Number),
    parameter("keepalives_count", "", Number),
    parameter("tcp_user_timeout", "", Number),
    parameter(
        "sslmode",
        "PGSSLMODE",
        OneOf(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
    ),
    parameter(
        "sslnegotiation",
        "PGSSLNEGOTIATION",
        Only(&["postgres"], "this build asks for TLS before it is spoken"),
    ),
    parameter("sslcompression", "PGSSLCOMPRESSION", OneOf(&["0", "1"])),
    parameter("sslcert", "PGSSLCERT", Text),
    parameter("sslkey", "PGSSLKEY", Text),
    parameter("sslrootcert", "PGSSLROOTCERT", Text),
    parameter(
        "sslcertmode",
        "PGSSLCERTMODE",
        Only(&["disable", "allow"], "whether the server asked for a certificate is not looked at"),
    ),
    parameter("sslpassword", "", Never("decrypt the key: openssl pkey -in KEY -out PLAIN_KEY")),
    parameter("sslcrl", "PGSSLCRL", Never("this build looks at no revocation lists")),
    parameter("sslcrldir", "PGSSLCRLDIR", Never("this build looks at no revocation lists")),
    parameter("sslsni", "PGSSLSNI", Only(&["1"], "the server's name is always sent")),
    parameter("requirepeer", "PGREQUIREPEER", Never("who owns the socket is not looked at")),
    parameter(
        "require_auth",
        "PGREQUIREAUTH",
        Never(
            "for a server that proves who it is: sslmode=verify-full, or channel_binding=require",
        ),
    ),
    parameter(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        Only(&["TLSv1", "TLSv1.1", "TLSv1.2"], "this build speaks TLS 1.2 and 1.3"),
    ),
    parameter(
        "ssl_max_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
        Only(&["TLSv1.3"], "this build speaks TLS 1.2 and 1.3"),
    ),
    parameter(
        "gssencmode",
        "PGGSSENCMODE",
        Only(
            &["disable", "prefer"],
            "this build has no GSSAPI; for encryption: sslmode=verify-full",
        ),
    ),
    parameter("krbsrvname", "PGKRBSRVNAME", Text),
    parameter("gsslib", "PGGSSLIB", Text),
    parameter("gssdelegation", "PGGSSDELEGATION", OneOf(&["0", "1"])),
    parameter(
        "replication",
        "",
        Only(&["false", "off", "no", "0"], "migrations need an ordinary session"),
    ),
    parameter(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        OneOf(&["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]),
    ),
    parameter("channel_binding", "PGCHANNELBINDING", OneOf(&["disable", "prefer", "require"])),
    parameter("load_balance_hosts", "PGLOADBALANCEHOSTS", OneOf(&["disable", "random"])),
];

/// What other tools have in their URLs, without `_` and `-`, and what to write here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["schema", "currentschema", "searchpath"],
        "leave it out; for a search_path: options=-c%20search_path%3DNAME",
    ),
    (
        &[
            "pgbouncer",
            "preparethreshold",
            "preparedstatementcachequeries",
            "preparedstatementcachesize",
            "statementcachesize",
            "statementcachecapacity",
            "defaultqueryexecmode",
            "prefersimpleprotocol",
            "binaryparameters",
        ],
        "leave it out, and name the server itself or a pooler in session mode: a run needs sessions of its \
         own",
    ),
    (
        &[
            "connectionlimit",
            "pooltimeout",
            "poolsize",
            "maxoverflow",
            "poolmaxconns",
            "poolminconns",
            "poolrecycle",
            "maxpoolsize",
            "minpoolsize",
            "maximumpoolsize",
            "pooling",
            "sockettimeout",
            "commandtimeout",
        ],
        "leave it out: there is no pool here; for one attempt to connect: connect_timeout=SECONDS",
    ),
    (
        &[
            "ssl",
            "sslaccept",
            "sslidentity",
            "usessl",
            "tls",
            "sslfactory",
            "trustservercertificate",
        ],
        "write sslmode: verify-full looks at the certificate, require does not, disable speaks no TLS",
    ),
    (&["sslca", "sslrootca", "rootcert", "cafile"], "write sslrootcert=FILE"),
    (&["connecttimeout", "logintimeout", "timeout"], "write connect_timeout=SECONDS"),
    (&["targetservertype"], "write target_session_attrs=primary"),
    (&["loadbalancehosts"], "write load_balance_hosts=random"),
    (&["applicationname"], "leave it out: the tool names its sessions itself"),
    (&["username"], "write user"),
    (&["database", "db"], "write dbname, or put it behind the `/`"),
];

/// What to write, for whatever cannot be read.
const FORM: &str = "write postgres://user:password@host:5432/database, special characters percent-encoded; or \
                    give host, port, database, user and password apart, where every character is allowed";

/// The variables that libpq reads and that are read here too.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let more = ["PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL"];
    let own = PARAMETERS.iter().map(|parameter| parameter.variable);
    own.filter(|variable| !variable.is_empty()).chain(more)
}

/// The parameters that a variable gives a default for, each with its variable.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = PARAMETERS.iter().filter(|parameter| !parameter.variable.is_empty());
    all.map(|parameter| (parameter.name, parameter.variable))
}

impl Conninfo {
    /// Reads a URL, or libpq's `key=value` form.
    pub fn parse(text: &str) -> Result<Conninfo, Wrong> {
        let text = text.trim();
        let url =
            ["postgres://", "postgresql://"].iter().find_map(|start| text.strip_prefix(start));
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        match (url, scheme.filter(|scheme| !scheme.contains(['=', ' ', '/', '@', '"', '\'']))) {
            (Some(rest), _) => Url { is_doubtful: false, found: Conninfo::default() }.read(rest),
            (None, Some(scheme)) => Err(wrong_scheme(scheme)),
            (None, None) if text.is_empty() => Ok(Conninfo::default()),
            (None, None) if text.starts_with(['"', '\'']) => Err(Wrong::new(
                "begins with a quote",
                "leave the quotes out: nothing takes them away",
            )),
            (None, None) if text.contains('=') => keywords(text),
            (None, None) => Err(Wrong::new("does not begin with postgres://", FORM)),
        }
    }

    /// The value of a parameter, unless it says nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose).filter(|value| !value.is_empty())
    }

    /// Sets a parameter of libpq's; what is wrong with the value is not told.
    pub(super) fn put(&mut self, name: &'static str, value: &str) {
        self.0.insert(name, Secret::new(value));
    }

    /// The same without a parameter.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Sets a parameter, if there is such a one, and it may say that.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Wrong> {
        let found = PARAMETERS.iter().find(|parameter| parameter.name == name);
        let parameter = found.ok_or_else(|| unknown(name))?;
        parameter.check(value)?;
        self.put(parameter.name, value);
        Ok(())
    }

    /// Takes what is not set here from `weaker`.
    pub(super) fn fill(&mut self, weaker: &Conninfo) {
        for (name, value) in &weaker.0 {
            self.0.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// The servers, in the order in which they are named.
    pub(super) fn hosts(&self) -> Result<Vec<Host>, Wrong> {
        let list = |name: &str| -> Vec<&str> {
            self.get(name).map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default()
        };
        let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let count = if addresses.is_empty() { names.len() } else { addresses.len() };
        let count = count.max(1);
        if !names.is_empty() && names.len() != count || ports.len() > 1 && ports.len() != count {
            let what = format!(
                "names {} hosts, {} addresses and {} ports",
                names.len(),
                addresses.len(),
                ports.len()
            );
            return Err(Wrong::new(
                what,
                "name one port for all, or one for each; addresses likewise",
            ));
        }
        let host = |at: usize| {
            let address = addresses.get(at).copied().filter(|text| !text.is_empty());
            let name = names.get(at).copied().filter(|name| !name.is_empty());
            let port = ports.get(at).or(ports.first()).copied().unwrap_or_default();
            Host {
                name: name.or(address).unwrap_or("localhost").to_string(),
                address: address.and_then(|text| text.parse().ok()),
                port: port.parse().unwrap_or(5432),
            }
        };
        Ok((0..count).map(host).collect())
    }
}

impl Parameter {
    fn check(&self, value: &str) -> Result<(), Wrong> {
        let name = self.name;
        let wrong = |wanted: &str| {
            Err(Wrong::new(format!("has a value of `{name}` that cannot be used"), wanted))
        };
        let words = |words: &[&str]| words.join(", ");
        match self.check {
            _ if value.is_empty() => Ok(()),
            Text => Ok(()),
            Number if value.trim().parse::<i32>().is_ok() => Ok(()),
            Number => wrong(&format!("`{name}` is a whole number")),
            Hosts if value.split(',').all(is_host) => Ok(()),
            Hosts => Err(Wrong::new(
                "has a host that cannot be read",
                format!("part several hosts by commas; {FORM}"),
            )),
            Ports if value.split(',').all(is_port) => Ok(()),
            Ports => wrong("a port is a number from 1 to 65535"),
            Addresses if value.split(',').all(is_address) => Ok(()),
            Addresses => wrong("`hostaddr` is an IP address; a name goes into `host`"),
            OneOf(known) if known.contains(&value) => Ok(()),
            OneOf(known) => wrong(&format!("`{name}` is one of {}", words(known))),
            Only(known, _) if known.contains(&value) => Ok(()),
            Only(known, why) => Err(Wrong::new(
                format!("has a value of `{name}` that is not supported"),
                format!("{why}: leave `{name}` out, or write {}", words(known)),
            )),
            Never(why) => Err(Wrong::new(
                format!("has `{name}`, which is not supported"),
                format!("leave it out: {why}"),
            )),
        }
    }
}

/// Whether it can be a host, or the place of a socket: messages show it.
fn is_host(text: &str) -> bool {
    let text = text.trim();
    let fits = |c: char| c.is_alphanumeric() || ".-_:%".contains(c);
    text.starts_with(['/', '@']) || text.chars().all(fits)
}

fn is_port(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || section::is_port(text)
}

fn is_address(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.parse::<IpAddr>().is_ok()
}

/// Whether a word may be shown: one that is no name of a parameter may be part of a password.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:+".contains(c);
    !text.is_empty() && text.len() <= 40 && text.chars().all(fits)
}

fn unknown(name: &str) -> Wrong {
    if !is_name(name) {
        return Wrong::new("has a parameter that is not known", FORM);
    }
    let what = format!("has a parameter that is not known: `{name}`");
    let plain = name.to_lowercase().replace(['_', '-'], "");
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&plain.as_str()));
    if let Some((_, hint)) = elsewhere {
        return Wrong::new(what, *hint);
    }
    let known = PARAMETERS.iter().map(|parameter| parameter.name);
    let setting = "leave it out; a setting of the server's goes into options=-c%20NAME%3DVALUE";
    match nearest(name, known) {
        Some(near) => Wrong::new(what, format!("did you mean `{near}`? Otherwise {setting}")),
        None => Wrong::new(what, setting),
    }
}

fn wrong_scheme(scheme: &str) -> Wrong {
    let lower = scheme.to_lowercase();
    let known = ["postgre", "pgsql", "psql", "pq", "cockroach", "timescale"];
    let what = match is_name(scheme) {
        true => format!("begins with {scheme}://, and not with postgres://"),
        false => "does not begin with postgres://".to_string(),
    };
    if lower.starts_with("jdbc:") {
        let hint = "write postgres:// in place of jdbc:postgresql://, and the user and the password before the host: \
                    postgres://user:password@host:5432/database";
        return Wrong::new(what, hint);
    }
    match known.iter().any(|known| lower.contains(known)) {
        true => Wrong::new(what, format!("write postgres:// in place of {scheme}://")),
        false => Wrong::new(what, FORM),
    }
}

/// A URL that is being read.
struct Url {
    /// Whether what looks like parameters may be the rest of a password: there is an `@` where none
    /// belongs.
    is_doubtful: bool,
    found: Conninfo,
}

impl Url {
    fn read(mut self, text: &str) -> Result<Conninfo, Wrong> {
        // As libpq: the user ends at the first `@` that stands before any `/`.
        let userinfo = text.find(['@', '/']).filter(|at| text[*at..].starts_with('@'));
        let (userinfo, rest) = match userinfo {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        self.is_doubtful = rest.contains('@');
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            self.put("user", user)?;
            self.put("password", password)?;
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        self.hosts(hosts)?;
        self.put("dbname", database)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            self.parameter(pair)?;
        }
        Ok(self.found)
    }

    fn hosts(&mut self, text: &str) -> Result<(), Wrong> {
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in text.split(',') {
            let (name, port) = match host.strip_prefix('[').map(|host| host.split_once(']')) {
                Some(Some((name, port))) if !name.is_empty() => (name, port.strip_prefix(':')),
                Some(_) => return Err(Wrong::new("has a host that cannot be read", FORM)),
                None => match host.split_once(':') {
                    Some((name, port)) => (name, Some(port)),
                    None => (host, None),
                },
            };
            names.push(name);
            ports.push(port.unwrap_or_default());
        }
        let names = decoded(&names.join(","))?;
        if !names.is_empty() {
            self.found.set("host", &names)?;
        }
        if ports.iter().any(|port| !port.is_empty()) {
            if !ports.iter().all(|port| is_port(port)) {
                let hint = format!("a port is a number from 1 to 65535; {FORM}");
                return Err(Wrong::new("has a port that cannot be used", hint));
            }
            self.found.put("port", &ports.join(","));
        }
        Ok(())
    }

    fn parameter(&mut self, pair: &str) -> Result<(), Wrong> {
        let Some((name, value)) = pair.split_once('=').filter(|(_, value)| !value.contains('='))
        else {
            return Err(Wrong::new("has a parameter that is not NAME=VALUE", FORM));
        };
        let (name, value) = (decoded(name)?, decoded(value)?);
        // As libpq, for the sake of JDBC's.
        let (name, value) = match (name.as_str(), value.as_str()) {
            ("ssl", "true") => ("sslmode", "require"),
            other => other,
        };
        let is_doubtful = self.is_doubtful;
        self.found.set(name, value).map_err(|wrong| match is_doubtful {
            true => Wrong::new("cannot be read", FORM),
            false => wrong,
        })
    }

    fn put(&mut self, name: &'static str, encoded: &str) -> Result<(), Wrong> {
        if !encoded.is_empty() {
            self.found.put(name, &decoded(encoded)?);
        }
        Ok(())
    }
}

fn decoded(text: &str) -> Result<String, Wrong> {
    let wrong = || Wrong::new("has a `%` that begins no character", FORM);
    let is_hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if !text.match_indices('%').all(|(at, _)| is_hex(at + 1) && is_hex(at + 2)) {
        return Err(wrong());
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| wrong())?;
    if decoded.contains('\0') { Err(wrong()) } else { Ok(decoded.into_owned()) }
}

/// Reads `host=h dbname='a b'`.
fn keywords(text: &str) -> Result<Conninfo, Wrong> {
    let mut found = Conninfo::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, value)) = rest.split_once('=') else {
            return Err(Wrong::new("has a word without `=`", FORM));
        };
        let (value, after) = keyword_value(value.trim_start())
            .ok_or_else(|| Wrong::new("has a quote that is never closed", FORM))?;
        found.set(name.trim_end(), &value)?;
        rest = after.trim_start();
    }
    Ok(found)
}

/// The value at the beginning of `text`, and what follows it; `None` if its quote is never closed.
fn keyword_value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if c.is_ascii_whitespace() && !quoted => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> Vec<(String, String)> {
        let found = Conninfo::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        let pairs =
            found.0.iter().map(|(name, value)| (name.to_string(), value.expose().to_string()));
        pairs.collect()
    }

    #[test]
    fn urls_and_keywords_say_the_same() {
        for (url, keywords) in [
            ("postgres://u:p%40@h:1/d", "host=h port=1 dbname=d user = u password='p@'"),
            ("postgresql://h,i:2,[::1]/d", "host=h,i,::1 port=,2, dbname=d"),
            ("postgres:///d?host=%2Ftmp&user=a@b", "host=/tmp dbname=d user=a@b"),
            ("postgres://%2Ftmp:7/d", r"host=/tmp port=7 dbname=d"),
            ("postgres://h/d?ssl=true", "host=h dbname=d sslmode=require"),
            ("postgres://u:a'b%5C@h", r"host=h user=u password='a\'b\\'"),
            ("postgres://h?options=-c%20a%3Db", r"host=h options='-c a=b'"),
            ("postgres://", ""),
        ] {
            assert_eq!(read(url), read(keywords), "{url}");
        }
    }

    #[test]
    fn nothing_of_a_password_is_told() {
        for text in [
            "postgres://u:s3cret/x@h/d",
            "postgres://u:5432/s3cret?s3cret=1@h/d",
            "postgres://u:s3cret@h:s3cret/d",
            "postgres://u:%s3cret@h/d",
            "s3cret",
            "host=h password='s3cret",
            "host=h s3cret",
            "postgres://h/d?sslmode=s3cret",
            "postgres://h/d?port=s3cret",
        ] {
            let wrong = Conninfo::parse(text).expect_err(text);
            assert!(!format!("{wrong:?}").contains("s3cret"), "{wrong:?}");
        }
    }

    #[test]
    fn servers_with_their_ports() {
        let hosts = |text: &str| -> Result<Vec<String>, Wrong> {
            let hosts = Conninfo::parse(text)?.hosts()?;
            Ok(hosts.into_iter().map(|host| format!("{}:{}", host.name, host.port)).collect())
        };
        assert_eq!(hosts("postgres://").expect("one"), ["localhost:5432"]);
        assert_eq!(hosts("postgres://a,b:1/").expect("two"), ["a:5432", "b:1"]);
        assert_eq!(hosts("host=a,b port=7").expect("two"), ["a:7", "b:7"]);
        assert_eq!(hosts("hostaddr=10.0.0.1").expect("one"), ["10.0.0.1:5432"]);
        assert!(hosts("host=a,b port=1,2,3").is_err());
        assert!(hosts("host=a,b hostaddr=10.0.0.1").is_err());
    }
}
