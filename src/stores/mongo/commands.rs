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
    "fsyncUnlock",
    "getCmdLineOpts",
    "getDefaultRWConcern",
    "getParameter",
    "killOp",
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
    "replSetReconfig",
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
    "getMore",
    "grantPrivilegesToRole",
    "grantRolesToRole",
    "grantRolesToUser",
    "hello",
    "insert",
    "invalidateUserCache",
    "killCursors",
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
    fn the_lists_agree() {
        for name in WRITES.iter().chain(REPEATABLE).chain(WHOLE_OR_NOT) {
            assert!(is_known(name), "{name}");
        }
    }
}
