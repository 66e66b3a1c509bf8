//! Users: their rules, and when two sets of rules mean the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::shape::Attributes;
use crate::text::{Fields, Node, ScriptError};

/// What a user may do. The rules say all of it: what they do not grant is taken away. Passwords are
/// the exception: rules that name none leave those that are set, because whoever runs the server
/// sets them, and no migration could put them back.
#[derive(Clone, Debug)]
pub struct Acl {
    /// The user.
    pub user: String,
    /// The rules, without passwords.
    pub rules: Vec<String>,
    /// The passwords that the rules name, as `>password` or `#sha256`.
    pub passwords: Vec<Secret>,
}

/// What a user may do, in one form; without passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Whether the user may log in.
    pub enabled: bool,
    /// Whether any password will do.
    pub nopass: bool,
    /// `skip-sanitize-payload`, if it is set.
    pub flags: BTreeSet<String>,
    /// The key patterns.
    pub keys: BTreeSet<String>,
    /// The channel patterns.
    pub channels: BTreeSet<String>,
    /// The command rules, in order, beginning with `-@all` or `+@all`.
    pub commands: Vec<String>,
    /// The selectors, each as the server writes it.
    pub selectors: BTreeSet<String>,
}

impl Acl {
    /// Reads a user's rules.
    pub fn parse(node: &Node) -> Result<Acl, ScriptError> {
        let mut fields = Fields::of(node, "acl")?;
        let user = user(fields.required("user")?)?;
        let rules_node = fields.required("rules")?;
        fields.finish()?;
        let mut acl = Acl { user, rules: Vec::new(), passwords: Vec::new() };
        for rule in rules_node.array("rules")? {
            acl.add(rule)?;
        }
        if acl.rules.is_empty() && acl.passwords.is_empty() {
            return Err(ScriptError::new(rules_node.span.clone(), "rules is empty")
                .hint("write for instance `rules: [\"on\", \"~session:*\", \"+@read\"]`"));
        }
        Ok(acl)
    }

    fn add(&mut self, node: &Node) -> Result<(), ScriptError> {
        let rule = node.string("a rule")?;
        // A message about a rule may not repeat it: it may be a password.
        let wrong = |message: &str, hint: &str| {
            Err(ScriptError::new(node.span.clone(), message).hint(hint))
        };
        match rule.chars().next() {
            None => return wrong("a rule is empty", "leave it out"),
            Some('>') if rule.len() == 1 => {
                return wrong("the password is empty", "use `nopass` where none is wanted");
            }
            Some('#') if !is_hash(&rule[1..]) => {
                return wrong(
                    "what follows `#` is not a SHA-256 in hexadecimal",
                    "write its 64 digits in lower case, or `>` and the password",
                );
            }
            Some('>' | '#') => self.passwords.push(Secret::new(rule)),
            Some('<' | '!') => {
                return wrong(
                    "a rule that removes one password names a secret for nothing",
                    "`resetpass` removes them all",
                );
            }
            Some(_) if rule.eq_ignore_ascii_case("reset") => {
                return wrong(
                    "`reset` is not needed: the rules say all that the user may do",
                    "leave it out; `resetpass` removes passwords",
                );
            }
            Some(_) if rule.contains(char::is_whitespace) && !rule.starts_with('(') => {
                return wrong("a rule holds a space", "give each rule a string of its own");
            }
            Some(_) => self.rules.push(rule.to_string()),
        }
        Ok(())
    }

    /// Whether the rules say which passwords the user has.
    pub fn sets_passwords(&self) -> bool {
        let named = |rule: &String| {
            rule.eq_ignore_ascii_case("nopass") || rule.eq_ignore_ascii_case("resetpass")
        };
        !self.passwords.is_empty() || self.rules.iter().any(named)
    }

    /// Whether the rules say that the user has none: nobody can log in as it.
    pub fn forbids_passwords(&self) -> bool {
        self.sets_passwords() && self.passwords.is_empty() && !self.rights().nopass
    }

    /// The words after ACL SETUSER: everything but passwords is taken away, then given. The server
    /// takes all of them or none.
    pub fn words(&self) -> Vec<&str> {
        let mut words = vec!["off", "sanitize-payload", "resetkeys", "resetchannels"];
        words.extend(["clearselectors", "-@all"]);
        if self.sets_passwords() {
            words.push("resetpass");
        }
        words.extend(self.rules.iter().map(String::as_str));
        words.extend(self.passwords.iter().map(Secret::expose));
        words
    }

    /// The rights that the rules grant.
    pub fn rights(&self) -> Rights {
        let mut rights = Rights { commands: vec!["-@all".to_string()], ..Rights::default() };
        for rule in &self.rules {
            rights.grant(rule);
        }
        rights.nopass &= self.passwords.is_empty();
        rights
    }

    /// The hashes of the passwords that the rules name.
    pub fn hashes(&self) -> BTreeSet<String> {
        self.passwords.iter().map(|secret| hash(secret.expose())).collect()
    }

    /// The server repeats a rule that it refuses: a message without the secret ones.
    pub fn without_secrets(&self, message: &str) -> String {
        self.passwords.iter().fold(message.to_string(), |message, secret| {
            message.replace(secret.expose(), "…").replace(&secret.expose()[1..], "…")
        })
    }
}

fn hash(rule: &str) -> String {
    match rule.strip_prefix('#') {
        Some(hash) => hash.to_string(),
        None => {
            let digest = Sha256::digest(&rule.as_bytes()[1..]);
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn user(node: &Node) -> Result<String, ScriptError> {
    let name = node.string("user")?;
    match name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') {
        true => Err(ScriptError::new(node.span.clone(), "a user's name is a word without spaces")),
        false => Ok(name.to_string()),
    }
}

/// The name of a user that may be deleted.
pub fn user_to_delete(node: &Node) -> Result<String, ScriptError> {
    let name = user(node)?;
    if name == "default" {
        return Err(ScriptError::new(node.span.clone(), "the user `default` cannot be deleted")
            .hint("switch it off: `acl: { user: \"default\", rules: [\"off\"] }`"));
    }
    Ok(name)
}

impl Rights {
    /// Applies one rule, as the server does.
    pub fn grant(&mut self, rule: &str) {
        let word = rule.to_lowercase();
        match word.as_str() {
            "on" => self.enabled = true,
            "off" => self.enabled = false,
            "nopass" => self.nopass = true,
            "resetpass" => self.nopass = false,
            "skip-sanitize-payload" => drop(self.flags.insert(word)),
            "sanitize-payload" => self.flags.clear(),
            "allkeys" => drop(self.keys.insert("~*".to_string())),
            "resetkeys" => self.keys.clear(),
            "allchannels" => drop(self.channels.insert("&*".to_string())),
            "resetchannels" => self.channels.clear(),
            "clearselectors" => self.selectors.clear(),
            "allcommands" => self.command("+@all"),
            "nocommands" => self.command("-@all"),
            _ => self.pattern(rule, &word),
        }
    }

    fn pattern(&mut self, rule: &str, word: &str) {
        match rule.chars().next() {
            Some('~') => drop(self.keys.insert(rule.to_string())),
            Some('%') => drop(self.keys.insert(key_rule(rule))),
            Some('&') => drop(self.channels.insert(rule.to_string())),
            Some('(') => drop(self.selectors.insert(selector(rule))),
            Some(_) | None => self.command(word),
        }
    }

    /// A rule takes the place of an earlier one for the same command, category or subcommand.
    fn command(&mut self, rule: &str) {
        if rule.ends_with("@all") {
            self.commands.clear();
        }
        let subject = rule.get(1..).unwrap_or_default();
        self.commands.retain(|known| {
            let known = known.get(1..).unwrap_or_default();
            known != subject && !known.starts_with(&format!("{subject}|"))
        });
        self.commands.push(rule.to_string());
    }

    /// The rules that grant these rights to a user; of passwords only that there are none.
    pub fn rules(&self, with_nopass: bool) -> Vec<String> {
        let mut rules = vec![if self.enabled { "on" } else { "off" }.to_string()];
        if with_nopass {
            rules.push(if self.nopass { "nopass" } else { "resetpass" }.to_string());
        }
        let sets = [&self.flags, &self.keys, &self.channels];
        rules.extend(sets.into_iter().flatten().cloned());
        rules.extend(self.commands.iter().cloned());
        rules.extend(self.selectors.iter().cloned());
        rules
    }
}

/// A user as the server has it. The hashes never leave the process: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveUser {
    /// What the user may do.
    pub rights: Rights,
    /// The hashes of the passwords.
    pub hashes: BTreeSet<String>,
}

impl LiveUser {
    /// Reads a line of ACL LIST: `user <name> <rules>`.
    pub fn of_line(line: &str) -> Option<(String, LiveUser)> {
        let (name, rules) = line.strip_prefix("user ")?.split_once(' ')?;
        let mut live = LiveUser { rights: Rights::default(), hashes: BTreeSet::new() };
        for rule in tokens(rules) {
            match rule.strip_prefix('#') {
                Some(hash) => drop(live.hashes.insert(hash.to_string())),
                None => live.rights.grant(rule),
            }
        }
        Some((name.to_string(), live))
    }

    /// Whether the user is as `acl` wants it.
    pub fn is_as(&self, acl: &Acl) -> bool {
        let mut wanted = acl.rights();
        if !acl.sets_passwords() {
            wanted.nopass = self.rights.nopass;
            return wanted == self.rights;
        }
        wanted == self.rights && acl.hashes() == self.hashes
    }
}

/// The rules of a line; a selector in parentheses is one rule.
fn tokens(mut text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    while let Some(start) = text.find(|c: char| c != ' ') {
        text = &text[start..];
        let end = match text.starts_with('(') {
            true => text.find(')').map_or(text.len(), |at| at + 1),
            false => text.find(' ').unwrap_or(text.len()),
        };
        tokens.push(&text[..end]);
        text = &text[end..];
    }
    tokens
}

fn key_rule(rule: &str) -> String {
    match rule.split_once('~') {
        Some((marks, pattern)) if marks.eq_ignore_ascii_case("%rw") => format!("~{pattern}"),
        Some((marks, pattern)) if marks.eq_ignore_ascii_case("%wr") => format!("~{pattern}"),
        Some((marks, pattern)) => format!("{}~{pattern}", marks.to_uppercase()),
        None => rule.to_string(),
    }
}

/// A selector in one form.
fn selector(rule: &str) -> String {
    let mut rights = Rights { commands: vec!["-@all".to_string()], ..Rights::default() };
    for word in rule.trim_matches(['(', ')']).split_whitespace() {
        rights.grant(word);
    }
    let patterns = rights.keys.iter().chain(&rights.channels);
    let words: Vec<&str> = patterns.chain(&rights.commands).map(String::as_str).collect();
    format!("({})", words.join(" "))
}

/// What the step puts into the recorded shape: whether its rules forbid a password, which no server
/// tells; and of `default`, which every server has and most leave alone, only whether it may log in.
/// Other users are seen on the server.
pub fn declares(acl: &Acl) -> Vec<(String, Option<Attributes>)> {
    let attributes = |name: &str, value: Value| Attributes::from_iter([(name.to_string(), value)]);
    let forbidden = acl.forbids_passwords().then(|| attributes("value", json!("none")));
    let mut declared = vec![(no_password(&acl.user), forbidden)];
    if acl.user == "default" {
        let enabled = attributes("enabled", json!(acl.rights().enabled));
        declared.push(("user default".to_string(), Some(enabled)));
    }
    declared
}

/// The name, in a shape, of the rule that a user has no password.
pub fn no_password(user: &str) -> String {
    format!("passwords {user}")
}

/// The step that gives `user` these rules.
pub fn step_of(user: &str, rules: &[String]) -> Value {
    json!({"acl": {"user": user, "rules": rules}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(text: &str) -> Result<Acl, ScriptError> {
        Acl::parse(&Node::parse(text).expect("JSON5"))
    }

    #[test]
    fn passwords_are_nowhere_to_be_seen() {
        let hash = "a".repeat(64);
        let text = format!(r##"{{ user: "app", rules: ["on", ">hunter2", "#{hash}", "+get"] }}"##);
        let read = acl(&text).expect("acl");
        assert!(read.sets_passwords());
        let shown = format!("{read:?} {:?}", read.rights());
        assert!(!shown.contains("hunter2") && !shown.contains(&hash), "{shown}");
        assert!(read.words().contains(&">hunter2"));
        let message = read.without_secrets("Error in modifier '>hunter2': hunter2");
        assert_eq!(message, "Error in modifier '…': …");
        for rule in ["<hunter2", "!hunter2", "#hunter2"] {
            let text = format!(r##"{{ user: "app", rules: ["{rule}"] }}"##);
            let error = acl(&text).expect_err(rule);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn rules_that_grant_the_same_are_the_same() {
        let rights =
            |rules: &str| acl(&format!("{{ user: 'a', rules: {rules} }}")).expect(rules).rights();
        for (one, other) in [
            ("['on','~a','~b','+@read']", "['+@READ','~b','%RW~a','ON']"),
            ("['allkeys','allcommands']", "['+get','~*','+@all']"),
            ("['+config|get','+config']", "['+config']"),
            ("['+get','-get']", "['-get']"),
            ("['(~x +get)']", "['(+GET %RW~x)']"),
        ] {
            assert_eq!(rights(one), rights(other), "{one} {other}");
        }
        assert_ne!(rights("['+get']"), rights("['+set']"));
        assert_ne!(rights("['~A']"), rights("['~a']"));
    }

    #[test]
    fn rights_become_rules_that_grant_them_again() {
        let text = "{ user: 'a', rules: ['on','nopass','~a','&c','+@read','-get','(~x +get)'] }";
        let read = acl(text).expect("acl");
        let step = step_of("a", &read.rights().rules(true));
        let again = Acl::parse(&Node::from_json(&step["acl"])).expect("again");
        assert_eq!(again.rights(), read.rights());
    }

    #[test]
    fn a_line_of_the_server_is_read() {
        let line = "user t off #aa ~a %R~c resetchannels &ch -@all +@read -set \
                    (~x resetchannels -@all +get)";
        let (name, live) = LiveUser::of_line(line).expect("line");
        assert_eq!((name.as_str(), live.hashes.len()), ("t", 1));
        let same = acl("{ user: 't', rules: ['%R~c','~a','&ch','+@read','-set','(+get ~x)'] }");
        assert!(live.is_as(&same.expect("acl")));
        let other = acl("{ user: 't', rules: ['resetpass','~a'] }").expect("acl");
        assert!(!live.is_as(&other));
    }

    #[test]
    fn mistakes_are_found_offline() {
        for text in [
            "{ user: 'a b', rules: ['on'] }",
            "{ user: 'a', rules: [] }",
            "{ user: 'a', rules: ['on +get'] }",
            "{ user: 'a', rules: ['reset'] }",
            "{ user: 'a', rules: ['>'] }",
            "{ user: 'a', rule: ['on'] }",
        ] {
            assert!(acl(text).is_err(), "{text}");
        }
        let default = Node::from_json(&json!("default"));
        assert!(user_to_delete(&default).is_err());
    }
}
