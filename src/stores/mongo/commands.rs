//! What is known of the server's commands. The set is open: what is not in these lists is let
//! through, unless it looks like a slip of the pen.

/// Commands that the server runs in the database `admin` alone.
const ADMIN: &[&str] = &[
    "addShard",
    "addShardToZone",
    "balancerCollectionStatus",
    "balancerStart",
    "balancerStatus",
    "balancerStop",
    "clearJumboFlag",
    "configureCollectionBalancing",
    "enableSharding",
    "flushRouterConfig",
    "fsync",
    "getCmdLineOpts",
    "getDefaultRWConcern",
    "getParameter",
    "listDatabases",
    "listShards",
    "logRotate",
    "moveChunk",
    "movePrimary",
    "refineCollectionShardKey",
    "removeShard",
    "removeShardFromZone",
    "renameCollection",
    "replSetGetConfig",
    "replSetGetStatus",
    "reshardCollection",
    "setAuditConfig",
    "setClusterParameter",
    "setDefaultRWConcern",
    "setFeatureCompatibilityVersion",
    "setParameter",
    "setUserWriteBlockMode",
    "shardCollection",
    "split",
    "unshardCollection",
    "updateZoneKeyRange",
];

/// The others that a migration might hold.
const OTHERS: &[&str] = &[
    "aggregate",
    "buildInfo",
    "cloneCollectionAsCapped",
    "collMod",
    "collStats",
    "compact",
    "convertToCapped",
    "count",
    "create",
    "createIndexes",
    "createRole",
    "createSearchIndexes",
    "createUser",
    "dataSize",
    "dbHash",
    "dbStats",
    "delete",
    "distinct",
    "drop",
    "dropAllRolesFromDatabase",
    "dropAllUsersFromDatabase",
    "dropDatabase",
    "dropIndexes",
    "dropRole",
    "dropSearchIndex",
    "dropUser",
    "explain",
    "filemd5",
    "find",
    "findAndModify",
    "grantPrivilegesToRole",
    "grantRolesToRole",
    "grantRolesToUser",
    "hello",
    "insert",
    "invalidateUserCache",
    "listCollections",
    "listIndexes",
    "mapReduce",
    "ping",
    "planCacheClear",
    "planCacheClearFilters",
    "planCacheListFilters",
    "planCacheSetFilter",
    "profile",
    "reIndex",
    "revokePrivilegesFromRole",
    "revokeRolesFromRole",
    "revokeRolesFromUser",
    "rolesInfo",
    "serverStatus",
    "setIndexCommitQuorum",
    "touch",
    "update",
    "updateRole",
    "updateSearchIndex",
    "updateUser",
    "usersInfo",
    "validate",
    "validateDBMetadata",
    "updateInBatches",
];

/// Commands that take a write concern; the others refuse one.
const WRITES: &[&str] = &[
    "cloneCollectionAsCapped",
    "collMod",
    "convertToCapped",
    "create",
    "createIndexes",
    "createRole",
    "createUser",
    "delete",
    "drop",
    "dropAllRolesFromDatabase",
    "dropAllUsersFromDatabase",
    "dropDatabase",
    "dropIndexes",
    "dropRole",
    "dropUser",
    "findAndModify",
    "grantPrivilegesToRole",
    "grantRolesToRole",
    "grantRolesToUser",
    "insert",
    "renameCollection",
    "revokePrivilegesFromRole",
    "revokeRolesFromRole",
    "revokeRolesFromUser",
    "update",
    "updateRole",
    "updateUser",
];

/// Commands that may be done twice without harm: the second time finds it done.
const REPEATABLE: &[&str] = &[
    "balancerStart",
    "balancerStop",
    "collStats",
    "compact",
    "convertToCapped",
    "count",
    "dbStats",
    "distinct",
    "dropDatabase",
    "enableSharding",
    "find",
    "flushRouterConfig",
    "grantPrivilegesToRole",
    "grantRolesToRole",
    "grantRolesToUser",
    "hello",
    "invalidateUserCache",
    "listCollections",
    "listIndexes",
    "ping",
    "planCacheClear",
    "planCacheClearFilters",
    "planCacheSetFilter",
    "profile",
    "reIndex",
    "revokePrivilegesFromRole",
    "revokeRolesFromRole",
    "revokeRolesFromUser",
    "setClusterParameter",
    "setDefaultRWConcern",
    "setFeatureCompatibilityVersion",
    "setIndexCommitQuorum",
    "setParameter",
    "shardCollection",
    "updateRole",
    "updateUser",
    "validate",
];

/// Commands that the server does whole or not at all.
const WHOLE_OR_NOT: &[&str] = &[
    "collMod",
    "create",
    "createIndexes",
    "createRole",
    "createUser",
    "drop",
    "dropIndexes",
    "dropRole",
    "dropUser",
    "grantRolesToUser",
    "renameCollection",
    "updateRole",
    "updateUser",
];

const STOPS: &str = "it stops the server, or others' work on it";
const LOCKS: &str =
    "the server takes no writes until somebody unlocks it, not even the next step's";
const SET: &str = "it is a matter of running the replica set, not of migrating what is in it";
const SESSION: &str = "it belongs to the connection and its session, which the driver keeps";
const INTERNAL: &str = "servers send it to each other";

/// Commands that no migration may send, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("abortTransaction", SESSION),
    ("authenticate", SESSION),
    ("commitTransaction", SESSION),
    ("configureFailPoint", STOPS),
    ("dropConnections", STOPS),
    ("endSessions", SESSION),
    ("fsyncUnlock", "it ends a lock that somebody holds for a reason, such as a backup"),
    ("getMore", SESSION),
    ("killAllSessions", STOPS),
    ("killAllSessionsByPattern", STOPS),
    ("killCursors", SESSION),
    ("killOp", STOPS),
    ("killSessions", STOPS),
    ("logout", SESSION),
    ("refreshSessions", SESSION),
    ("resync", SET),
    ("rotateCertificates", "it is a matter of running the server, not of migrating what is in it"),
    ("saslContinue", SESSION),
    ("saslStart", SESSION),
    ("shutdown", STOPS),
    ("sleep", STOPS),
    ("startSession", SESSION),
];

/// Why a migration may not send the command `name` with these arguments.
pub(super) fn forbidden(name: &str, argument: impl Fn(&str) -> bool) -> Option<&'static str> {
    let known = FORBIDDEN.iter().find(|(known, _)| *known == name).map(|(_, why)| *why);
    known.or_else(|| match name {
        "fsync" if argument("lock") => Some(LOCKS),
        "setUserWriteBlockMode" if argument("global") => Some(LOCKS),
        "replSetGetConfig" | "replSetGetStatus" => None,
        // What servers call by a name with `_` in front they call among themselves.
        name if name.starts_with('_') => Some(INTERNAL),
        name if name.starts_with("replSet") => Some(SET),
        _ => None,
    })
}

/// Methods of mongosh, and the commands behind them.
const SHELL: &[(&str, &str)] = &[
    ("addUser", "createUser"),
    ("adminCommand", "the command itself"),
    ("copyTo", "aggregate` with `$out"),
    ("countDocuments", "count"),
    ("createCollection", "create"),
    ("createIndex", "createIndexes"),
    ("createSearchIndex", "createSearchIndexes"),
    ("createView", "create` with `viewOn` and `pipeline"),
    ("dropCollection", "drop"),
    ("dropIndex", "dropIndexes"),
    ("dropView", "drop"),
    ("ensureIndex", "createIndexes"),
    ("estimatedDocumentCount", "count"),
    ("findOne", "find"),
    ("findOneAndDelete", "findAndModify` with `remove: true"),
    ("findOneAndReplace", "findAndModify"),
    ("findOneAndUpdate", "findAndModify"),
    ("getIndexes", "listIndexes"),
    ("hideIndex", "collMod` with `index: { name, hidden: true }"),
    ("remove", "delete"),
    ("removeUser", "dropUser"),
    ("replaceOne", "update"),
    ("runCommand", "the command itself"),
    ("save", "update` with `upsert: true"),
    ("setProfilingLevel", "profile"),
    ("unhideIndex", "collMod` with `index: { name, hidden: false }"),
];

/// What to write in place of a method of mongosh, as a hint.
pub(super) fn of_shell(name: &str) -> Option<String> {
    if name == "db" || name.starts_with("db.") {
        return Some("a step is a database command, not a call of mongosh: `{ insert: \"x\", documents: [ … ] }`".to_string());
    }
    let known = SHELL.iter().find(|(method, _)| method.eq_ignore_ascii_case(name));
    let meant = known.map(|(_, command)| *command).or_else(|| of_one_or_many(name))?;
    Some(match meant {
        "the command itself" => "write the command itself as the step".to_string(),
        "insert" => "write `insert`: { insert: \"x\", documents: [ … ] }".to_string(),
        "update" => {
            "write `update`: { update: \"x\", updates: [ { q: { … }, u: { … }, multi: true } ] }"
                .to_string()
        }
        "delete" => {
            "write `delete`: { delete: \"x\", deletes: [ { q: { … }, limit: 0 } ] }".to_string()
        }
        "dropIndexes" => "write `dropIndexes`: { dropIndexes: \"x\", index: \"name\" }".to_string(),
        "createIndexes" => {
            "write `createIndexes`: { createIndexes: \"x\", indexes: [ { key: { a: 1 } } ] }"
                .to_string()
        }
        command => format!("write `{command}`"),
    })
}

/// What Extended JSON has in place of a word of mongosh.
pub(super) fn foreign(word: &str) -> Option<&'static str> {
    Some(match word {
        "ISODate" | "Date" => "in Extended JSON a date is `{ $date: \"2026-01-31T00:00:00Z\" }`",
        "new" => {
            "JSON5 has no `new`: in Extended JSON a date is `{ $date: \"2026-01-31T00:00:00Z\" }`, an id \
             `{ $oid: \"…\" }`"
        }
        "ObjectId" => "in Extended JSON an id is `{ $oid: \"507f1f77bcf86cd799439011\" }`",
        "NumberLong" | "Long" => "in Extended JSON a long is `{ $numberLong: \"5\" }`",
        "NumberInt" | "Int32" => "write the number alone: 5; or `{ $numberInt: \"5\" }`",
        "NumberDecimal" | "Decimal128" => {
            "in Extended JSON a decimal is `{ $numberDecimal: \"5.10\" }`"
        }
        "Double" => "in Extended JSON a double is `{ $numberDouble: \"5.0\" }`",
        "UUID" => {
            "in Extended JSON a UUID is `{ $uuid: \"c8edabc3-f738-4ca3-b68d-ab92a91478a3\" }`"
        }
        "BinData" | "HexData" | "Binary" => {
            "in Extended JSON bytes are `{ $binary: { base64: \"…\", subType: \"00\" } }`"
        }
        "Timestamp" => "in Extended JSON a timestamp is `{ $timestamp: { t: 1, i: 1 } }`",
        "MinKey" => "in Extended JSON it is `{ $minKey: 1 }`",
        "MaxKey" => "in Extended JSON it is `{ $maxKey: 1 }`",
        "RegExp" | "/" => {
            "write a filter as `{ $regex: \"^a\", $options: \"i\" }`, a value as `{ $regularExpression: { pattern: \
             \"^a\", options: \"i\" } }`"
        }
        "undefined" => "write `null`, or leave the field out",
        "db" | "use" | "print" | "printjson" | "rs" | "sh" | "load" | "const" | "let" | "var" => {
            "scripts of mongosh are not read: a migration is `{ steps: [ { insert: \"x\", documents: [ … ] } ] }`, \
             a database command each"
        }
        _ => return None,
    })
}

/// `insertMany`, `updateOne` and the like.
fn of_one_or_many(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let verb = ["one", "many"].iter().find_map(|end| lower.strip_suffix(end))?;
    ["insert", "update", "delete", "find"].into_iter().find(|command| *command == verb)
}

/// Whether `name` is a command that we have heard of.
pub(super) fn is_known(name: &str) -> bool {
    ADMIN.contains(&name) || OTHERS.contains(&name)
}

/// Whether it has to be sent to `admin`.
pub(super) fn is_admin(name: &str) -> bool {
    ADMIN.contains(&name)
}

/// Whether it takes a write concern.
pub(super) fn writes(name: &str) -> bool {
    WRITES.contains(&name)
}

/// Whether its work can be looked for, so that no person has to.
pub(super) fn is_looked_up(name: &str) -> bool {
    matches!(name, "createRole" | "createUser" | "dropRole" | "dropUser") || is_repeatable(name)
}

/// Whether it may be done twice.
pub(super) fn is_repeatable(name: &str) -> bool {
    REPEATABLE.contains(&name)
}

/// Whether a refusal means that nothing was changed.
pub(super) fn is_whole_or_not(name: &str) -> bool {
    WHOLE_OR_NOT.contains(&name)
}

/// The known command that `name` is most likely meant to be.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    slip(name, ADMIN.iter().chain(OTHERS).copied())
}

/// The word of `known` that differs from `word` by a slip of the pen: its case, or up to two
/// letters. Stricter than for closed sets, where every unknown word is wrong.
pub(super) fn slip(
    word: &str,
    known: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).min(2);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_commands_that_we_have_not_heard_of() {
        assert_eq!(meant("createIndices"), Some("createIndexes"));
        assert_eq!(meant("CreateIndexes"), Some("createIndexes"));
        assert_eq!(meant("updateInBatch"), Some("updateInBatches"));
        assert_eq!(meant("rotateCertificates"), None);
        assert_eq!(meant("bulkWrite"), None);
    }

    #[test]
    fn methods_of_the_shell_are_answered_with_the_command() {
        for (name, command) in [
            ("insertMany", "`insert`"),
            ("deleteone", "`delete`"),
            ("createCollection", "`create`"),
            ("dropIndex", "`dropIndexes`"),
            ("db.x.insertOne", "not a call of mongosh"),
            ("runCommand", "the command itself"),
        ] {
            let hint = of_shell(name).expect(name);
            assert!(hint.contains(command), "{name}: {hint}");
        }
        assert!(OTHERS.iter().chain(ADMIN).all(|name| of_shell(name).is_none()));
    }

    #[test]
    fn what_stops_the_server_is_forbidden() {
        for name in ["shutdown", "replSetStepDown", "replSetReconfig", "killOp", "_shardsvrMove"] {
            assert!(forbidden(name, |_| false).is_some(), "{name}");
        }
        assert!(forbidden("fsync", |name| name == "lock").is_some());
        for name in ["fsync", "replSetGetStatus", "setFeatureCompatibilityVersion", "compact"] {
            assert!(forbidden(name, |_| false).is_none(), "{name}");
        }
    }

    #[test]
    fn the_lists_agree() {
        for name in WRITES.iter().chain(REPEATABLE).chain(WHOLE_OR_NOT) {
            assert!(is_known(name), "{name}");
        }
    }
}
