//! Raw commands, and those that no migration may send.

use crate::text::document::plain_number;
use crate::text::{Node, NodeKind, ScriptError};

/// A command as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct RawCommand {
    /// Its words, at least one.
    pub words: Vec<String>,
}

/// The arguments may hold a secret.
impl std::fmt::Debug for RawCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RawCommand").field(&self.label()).finish()
    }
}

const CONNECTION: &str = "it changes the connection, which the tool has set up and uses further";
const PUSHES: &str = "it turns the connection into a stream of messages";
const WAITS: &str = "it waits for other clients, and holds the migration up";
const ADMIN: &str = "it is a matter of running the server, not of migrating it";
const EMPTIES: &str = "it deletes every key, or every function, whoever made it";
const TRANSACTION: &str = "a transaction of Redis does not roll back, and a step is one command";

/// Commands that no migration may send, and why.
const FORBIDDEN: [(&str, &str); 60] = [
    ("FLUSHALL", EMPTIES),
    ("FLUSHDB", EMPTIES),
    ("SWAPDB", "whoever uses either database finds the keys of the other one"),
    ("SCRIPT FLUSH", "whoever calls a script by its digest finds it gone"),
    ("SCRIPT DEBUG", ADMIN),
    ("FUNCTION FLUSH", EMPTIES),
    ("FUNCTION RESTORE", EMPTIES),
    ("FUNCTION LOAD", "write a `function` step, which can be undone"),
    ("FUNCTION DELETE", "write a `deleteFunction` step, which can be undone"),
    ("FUNCTION KILL", ADMIN),
    ("SCRIPT KILL", ADMIN),
    ("CONFIG SET", "write a `config` step, which can be undone"),
    ("CONFIG REWRITE", "a `config` step does it"),
    ("ACL", "write an `acl` or a `deleteUser` step"),
    ("KEYS", "it blocks the server for as long as it takes to read every key"),
    ("SHUTDOWN", ADMIN),
    ("DEBUG", ADMIN),
    ("SAVE", "it blocks the server for as long as it takes to write every key (BGSAVE does not)"),
    ("CLUSTER", ADMIN),
    ("FAILOVER", ADMIN),
    ("REPLICAOF", ADMIN),
    ("SLAVEOF", ADMIN),
    ("MODULE", ADMIN),
    ("MIGRATE", ADMIN),
    ("SENTINEL", ADMIN),
    ("PSYNC", ADMIN),
    ("SYNC", ADMIN),
    ("REPLCONF", ADMIN),
    ("RESTORE-ASKING", ADMIN),
    ("PFDEBUG", ADMIN),
    ("PFSELFTEST", ADMIN),
    ("MONITOR", PUSHES),
    ("SUBSCRIBE", PUSHES),
    ("PSUBSCRIBE", PUSHES),
    ("SSUBSCRIBE", PUSHES),
    ("UNSUBSCRIBE", PUSHES),
    ("PUNSUBSCRIBE", PUSHES),
    ("SUNSUBSCRIBE", PUSHES),
    ("MULTI", TRANSACTION),
    ("EXEC", TRANSACTION),
    ("DISCARD", TRANSACTION),
    ("WATCH", TRANSACTION),
    ("UNWATCH", TRANSACTION),
    ("SELECT", "the database is part of the settings"),
    ("AUTH", "the password is part of the settings"),
    ("HELLO", CONNECTION),
    ("QUIT", CONNECTION),
    ("RESET", CONNECTION),
    ("CLIENT", CONNECTION),
    ("ASKING", CONNECTION),
    ("READONLY", CONNECTION),
    ("READWRITE", CONNECTION),
    ("WAIT", WAITS),
    ("WAITAOF", WAITS),
    ("BLPOP", WAITS),
    ("BRPOP", WAITS),
    ("BLMOVE", WAITS),
    ("BLMPOP", WAITS),
    ("BRPOPLPUSH", WAITS),
    ("BZPOPMIN", WAITS),
];

/// Commands whose second word is part of the name.
const CONTAINERS: [&str; 10] = [
    "XGROUP", "XINFO", "SCRIPT", "FUNCTION", "OBJECT", "MEMORY", "LATENCY", "SLOWLOG", "CONFIG",
    "COMMAND",
];

/// Commands that a server calls administrative, and that do nothing to it.
const HARMLESS: [&str; 7] =
    ["BGSAVE", "BGREWRITEAOF", "LASTSAVE", "CONFIG|RESETSTAT", "CONFIG|GET", "SLOWLOG", "LATENCY"];

/// What a server says of a command: COMMAND INFO.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `admin`, `write`, `blocking`, `pubsub` …
    pub flags: Vec<String>,
    /// `@dangerous`, `@keyspace` …
    pub categories: Vec<String>,
    /// Whether it names keys.
    pub has_keys: bool,
}

/// A consumer group that a command makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'c> {
    /// The stream.
    pub stream: &'c str,
    /// The group.
    pub name: &'c str,
    /// The last entry that it is not to be given; `$` for whatever is the last one.
    pub after: &'c str,
}

impl RawCommand {
    /// Reads a command: its words.
    pub fn parse(node: &Node) -> Result<RawCommand, ScriptError> {
        let words: Vec<String> =
            node.array("command")?.iter().map(word).collect::<Result<_, _>>()?;
        let command = RawCommand { words };
        let Some(name) = command.words.first().filter(|name| !name.is_empty()) else {
            return Err(ScriptError::new(node.span.clone(), "the command is empty").hint(
                "write for instance `command: [\"XGROUP\", \"CREATE\", \"s\", \"g\", \"$\"]`",
            ));
        };
        if name.contains(char::is_whitespace) {
            return Err(ScriptError::new(node.span.clone(), "a command's name holds a space")
                .hint("give each word a string of its own"));
        }
        match command.forbidden() {
            Some((known, why)) => {
                let message = format!("a migration must not send {known}: {why}");
                Err(ScriptError::new(node.span.clone(), message))
            }
            None => Ok(command),
        }
    }

    fn forbidden(&self) -> Option<(&'static str, &'static str)> {
        let upper: Vec<String> = self.words.iter().take(2).map(|w| w.to_uppercase()).collect();
        let (one, two) = (upper.first()?.as_str(), upper.join(" "));
        if one.starts_with("BZ") {
            return Some(("BZPOPMIN, BZPOPMAX or BZMPOP", WAITS));
        }
        if one.starts_with("XREAD") && self.words.iter().any(|w| w.eq_ignore_ascii_case("BLOCK")) {
            return Some(("XREAD … BLOCK", WAITS));
        }
        FORBIDDEN.into_iter().find(|(known, _)| *known == one || *known == two)
    }

    /// Its name, as COMMAND INFO has it.
    pub fn name(&self) -> String {
        let upper: Vec<String> = self.words.iter().take(2).map(|w| w.to_uppercase()).collect();
        match upper.first() {
            Some(first) if CONTAINERS.contains(&first.as_str()) => upper.join("|"),
            Some(first) => first.clone(),
            None => String::new(),
        }
    }

    /// Why no migration may send it, going by what the server says: it may have commands that nobody here
    /// knows, or have given another name to one.
    pub fn forbidden_by(&self, facts: &Facts) -> Option<&'static str> {
        let flag = |name: &str| facts.flags.iter().any(|flag| flag.eq_ignore_ascii_case(name));
        let dangerous = facts.categories.iter().any(|one| one.eq_ignore_ascii_case("@dangerous"));
        let name = self.name();
        let is_harmless = HARMLESS.iter().any(|known| {
            name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        if flag("admin") && !is_harmless {
            return Some(ADMIN);
        }
        if flag("pubsub") && flag("noscript") {
            return Some(PUSHES);
        }
        // Those wait only where they are told to.
        if flag("blocking") && !name.starts_with("XREAD") {
            return Some(WAITS);
        }
        (dangerous && flag("write") && !facts.has_keys)
            .then_some("it acts on whole databases, whoever made their keys")
    }

    /// The group that it makes: XGROUP CREATE.
    pub fn group(&self) -> Option<Group<'_>> {
        let [one, two, stream, name, after, ..] = &self.words[..] else { return None };
        (one.eq_ignore_ascii_case("XGROUP") && two.eq_ignore_ascii_case("CREATE"))
            .then_some(Group { stream, name, after })
    }

    /// Its name and its first argument, which is a key in nearly every command: further ones may
    /// be secret.
    pub fn label(&self) -> String {
        let shown = match self.words.first().map(|name| name.to_uppercase()) {
            Some(name) if CONTAINERS.contains(&name.as_str()) => 3,
            // Their second word is a script or a message, not a key.
            Some(name) if ["EVAL", "EVAL_RO", "ECHO", "PUBLISH"].contains(&name.as_str()) => 1,
            Some(_) | None => 2,
        };
        let more = if self.words.len() > shown { " …" } else { "" };
        let words = &self.words[..self.words.len().min(shown)];
        format!("command {}{more}", words.join(" "))
    }

    /// Whether it is known to take nothing away; DEL and UNLINK are looked at key by key.
    pub fn is_harmless(&self) -> bool {
        let word = |at: usize| self.words.get(at).map(|word| word.to_uppercase());
        let (name, second) = (word(0).unwrap_or_default(), word(1).unwrap_or_default());
        let says = |word: &str| self.words.iter().skip(2).any(|own| own.eq_ignore_ascii_case(word));
        match name.as_str() {
            "XGROUP" => second == "CREATE" || second == "CREATECONSUMER",
            // A value that names one of these words is taken for it: the wrong way round loses nothing.
            "XADD" => !says("MAXLEN") && !says("MINID"),
            "ZADD" => says("NX"),
            "DEL" | "UNLINK" | "HSETNX" | "SETNX" | "SADD" | "RPUSH" | "LPUSH" | "APPEND"
            | "PERSIST" | "PING" | "PUBLISH" => true,
            _ => false,
        }
    }

    /// The keys that the command deletes whole.
    pub fn deletes(&self) -> &[String] {
        match self.words.split_first() {
            Some((name, keys))
                if name.eq_ignore_ascii_case("DEL") || name.eq_ignore_ascii_case("UNLINK") =>
            {
                keys
            }
            Some(_) | None => &[],
        }
    }
}

fn word(node: &Node) -> Result<String, ScriptError> {
    match &node.kind {
        NodeKind::String(text) => Ok(text.clone()),
        NodeKind::Number(number) => Ok(plain_number(number)),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Array(_) | NodeKind::Object(_) => {
            let message = format!("a word of a command is a string, not {}", node.describe());
            Err(ScriptError::new(node.span.clone(), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Result<RawCommand, ScriptError> {
        RawCommand::parse(&Node::parse(text).expect("JSON5"))
    }

    #[test]
    fn a_label_shows_no_value() {
        let read = command(r#"["SET", "api:key", "hunter2"]"#).expect("command");
        assert_eq!(read.label(), "command SET api:key …");
        assert!(!format!("{read:?}").contains("hunter2"));
        let read = command(r#"["xgroup", "CREATE", "s", "g", "$", "MKSTREAM"]"#).expect("command");
        assert_eq!(read.label(), "command xgroup CREATE s …");
        assert_eq!(command(r#"["DEL", "a", "b"]"#).expect("command").deletes(), ["a", "b"]);
    }

    #[test]
    fn what_harms_is_refused_with_the_reason() {
        for text in [
            r#"["FLUSHALL"]"#,
            r#"["flushdb", "ASYNC"]"#,
            r#"["SHUTDOWN"]"#,
            r#"["DEBUG", "SLEEP", 5]"#,
            r#"["KEYS", "*"]"#,
            r#"["MONITOR"]"#,
            r#"["SUBSCRIBE", "c"]"#,
            r#"["MULTI"]"#,
            r#"["EXEC"]"#,
            r#"["SELECT", 1]"#,
            r#"["AUTH", "x"]"#,
            r#"["config", "set", "requirepass", "x"]"#,
            r#"["XREAD", "BLOCK", 0, "STREAMS", "s", "$"]"#,
            r#"["ACL", "SETUSER", "x"]"#,
            r#"["bzpopmax", "x", 0]"#,
            r#"["SWAPDB", 0, 1]"#,
            r#"["script", "flush"]"#,
        ] {
            let error = command(text).expect_err(text);
            assert!(error.message.contains("must not send"), "{}", error.message);
        }
        assert!(command("[]").is_err());
        assert!(command(r#"["XGROUP CREATE", "s"]"#).is_err());
        assert!(command(r#"["SET", null]"#).is_err());
        assert!(command(r#"["CONFIG", "RESETSTAT"]"#).is_ok());
    }

    #[test]
    fn what_the_server_calls_harmful_is_refused_by_whatever_name() {
        let facts = |flags: &str, categories: &str, has_keys: bool| Facts {
            flags: flags.split(' ').map(str::to_string).collect(),
            categories: categories.split(' ').map(str::to_string).collect(),
            has_keys,
        };
        let hidden = command(r#"["hidden-flushall"]"#).expect("command");
        for (flags, categories, has_keys, refused) in [
            ("write", "@keyspace @dangerous", false, true),
            ("admin noscript", "@admin @dangerous", false, true),
            ("pubsub noscript", "@pubsub", false, true),
            ("noscript blocking", "@slow", true, true),
            ("pubsub fast", "@pubsub", false, false),
            ("write", "@keyspace @dangerous", true, false),
            ("write denyoom", "@stream", true, false),
        ] {
            let said = hidden.forbidden_by(&facts(flags, categories, has_keys));
            assert_eq!(said.is_some(), refused, "{flags} {categories}: {said:?}");
        }
        let admin = facts("admin", "@admin", false);
        let stats = command(r#"["config", "resetstat"]"#).expect("command");
        assert_eq!((stats.name().as_str(), stats.forbidden_by(&admin)), ("CONFIG|RESETSTAT", None));
        let slow = command(r#"["SLOWLOG", "RESET"]"#).expect("command");
        assert_eq!(slow.forbidden_by(&admin), None);
    }

    #[test]
    fn a_group_is_read_from_the_command_that_makes_it() {
        let read = command(r#"["xgroup", "create", "s", "g", 0, "MKSTREAM"]"#).expect("command");
        assert_eq!(read.group(), Some(Group { stream: "s", name: "g", after: "0" }));
        assert_eq!(command(r#"["XGROUP", "DESTROY", "s", "g"]"#).expect("command").group(), None);
    }
}
