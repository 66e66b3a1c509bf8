//! The one table of all keys; file keys, variables, secrecy and documentation derive from it.

/// What every variable of the tool begins with.
pub const PREFIX: &str = "AIPLAT_MIGRATE_";

/// What a variable that sets a placeholder begins with, after [`PREFIX`].
pub const PLACEHOLDER: &str = "PLACEHOLDER_";

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
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What holds where it is not set; empty where that is nothing.
    pub default: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// One section of the file; the first has no name: its keys stand at the top.
#[derive(Debug)]
pub struct Section {
    /// Its name in the file.
    pub name: &'static str,
    /// Its keys, in groups.
    pub keys: &'static [&'static [Key]],
    /// The keys any of which makes the store configured.
    pub addresses: &'static [&'static str],
}

/// Whether a key holds its value or names the file that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value itself.
    Inline,
    /// The file that holds the value.
    InFile,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

const TLS_FILES: &[Key] = &[
    key(
        "ca_file",
        Kind::Path,
        "the system's",
        "The authority that signed the server's certificate (PEM).",
    ),
    key("cert_file", Kind::Path, "", "Our certificate, where the server asks for one (PEM)."),
    key("key_file", Kind::Path, "", "The key of our certificate (PEM)."),
];

const CONNECT_TIMEOUT: &[Key] =
    &[key("connect_timeout", Kind::Duration, "", "How long one attempt to connect may take.")];

const POSTGRES: &[Key] = &[
    key("url", Kind::Secret, "", "The address: postgres://user:password@host:5432/database."),
    key("host", Kind::Text, "", "The server's host, in place of the URL's."),
    key("port", Kind::Port, "5432", "The server's port, in place of the URL's."),
    key("database", Kind::Text, "the user's name", "The database, in place of the URL's."),
    key("user", Kind::Text, "", "The user, in place of the URL's."),
    key("password", Kind::Secret, "", "The password, in place of the URL's."),
    key(
        "sslmode",
        Kind::Text,
        "prefer",
        "Whether to speak TLS and what to verify, in libpq's words.",
    ),
];

const MONGO: &[Key] = &[
    key("url", Kind::Secret, "", "The address: mongodb://user:password@host:27017/database."),
    key("host", Kind::Text, "", "The server's host, in place of the URL's."),
    key("port", Kind::Port, "27017", "The server's port, in place of the URL's."),
    key("database", Kind::Text, "", "The database, in place of the URL's."),
    key("user", Kind::Text, "", "The user, in place of the URL's."),
    key("password", Kind::Secret, "", "The password, in place of the URL's."),
    key("auth_source", Kind::Text, "", "The database that knows the user."),
    key("replica_set", Kind::Text, "", "The replica set's name."),
    key("tls", Kind::Flag, "false", "Whether to speak TLS."),
];

const WEAVIATE: &[Key] = &[
    key("url", Kind::Text, "", "The address: http://host:8080."),
    key("api_key", Kind::Secret, "", "The API key."),
    key("request_timeout", Kind::Duration, "", "How long one request may take."),
];

const KAFKA: &[Key] = &[
    key("brokers", Kind::List, "", "The brokers to ask first: host:9092, host:9092."),
    key("security_protocol", Kind::Text, "", "plaintext, ssl, sasl_plaintext or sasl_ssl."),
    key("sasl_mechanism", Kind::Text, "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."),
    key("user", Kind::Text, "", "The SASL user."),
    key("password", Kind::Secret, "", "The SASL password."),
    key("operation_timeout", Kind::Duration, "", "How long one change may take on the brokers."),
];

const REDIS: &[Key] = &[
    key("url", Kind::Secret, "", "The address: redis://user:password@host:6379/0."),
    key("host", Kind::Text, "", "The server's host, in place of the URL's."),
    key("port", Kind::Port, "6379", "The server's port, in place of the URL's."),
    key("user", Kind::Text, "", "The user, in place of the URL's."),
    key("password", Kind::Secret, "", "The password, in place of the URL's."),
    key("database", Kind::Number, "0", "The number of the database, in place of the URL's."),
    key("tls", Kind::Flag, "false", "Whether to speak TLS."),
    key("cluster", Kind::Flag, "false", "Whether the server is a Redis Cluster."),
    key(
        "sentinels",
        Kind::List,
        "",
        "The Sentinels to ask for the master: host:26379, host:26379.",
    ),
    key("sentinel_master", Kind::Text, "", "The master's name, as the Sentinels know it."),
    key("sentinel_password", Kind::Secret, "", "The Sentinels' own password."),
    key("response_timeout", Kind::Duration, "", "How long one answer may take."),
];

const NOT_LOOKED_AT: &str =
    "Objects that `validate` does not look at, `*` standing for any text: table public.tmp_*.";

const IGNORE: &[Key] = &[
    key("postgres", Kind::List, "", NOT_LOOKED_AT),
    key("mongo", Kind::List, "", NOT_LOOKED_AT),
    key("weaviate", Kind::List, "", NOT_LOOKED_AT),
    key("kafka", Kind::List, "", NOT_LOOKED_AT),
    key("redis", Kind::List, "", NOT_LOOKED_AT),
];

/// Every section with every key.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        keys: &[&[key(
            "lock_wait",
            Kind::Duration,
            "60s",
            "How long to wait for another run's lock.",
        )]],
        addresses: &[],
    },
    Section {
        name: "migrations",
        keys: &[&[key(
            "dir",
            Kind::Folder,
            "migrations",
            "The folder of migrations.sum and of the stores' folders.",
        )]],
        addresses: &[],
    },
    Section {
        name: "postgres",
        keys: &[
            POSTGRES,
            TLS_FILES,
            CONNECT_TIMEOUT,
            &[
                key("dir", Kind::Folder, "migrations/postgres", "The folder of its migrations."),
                key(
                    "shape",
                    Kind::List,
                    "",
                    "What the recorded shape holds besides the structure: owners, grants, comments.",
                ),
            ],
        ],
        addresses: &["url", "host"],
    },
    Section {
        name: "mongo",
        keys: &[
            MONGO,
            TLS_FILES,
            CONNECT_TIMEOUT,
            &[key("dir", Kind::Folder, "migrations/mongo", "The folder of its migrations.")],
        ],
        addresses: &["url", "host"],
    },
    Section {
        name: "weaviate",
        keys: &[
            WEAVIATE,
            TLS_FILES,
            CONNECT_TIMEOUT,
            &[key("dir", Kind::Folder, "migrations/weaviate", "The folder of its migrations.")],
        ],
        addresses: &["url"],
    },
    Section {
        name: "kafka",
        keys: &[
            KAFKA,
            TLS_FILES,
            CONNECT_TIMEOUT,
            &[key("dir", Kind::Folder, "migrations/kafka", "The folder of its migrations.")],
        ],
        addresses: &["brokers"],
    },
    Section {
        name: "redis",
        keys: &[
            REDIS,
            TLS_FILES,
            CONNECT_TIMEOUT,
            &[key("dir", Kind::Folder, "migrations/redis", "The folder of its migrations.")],
        ],
        addresses: &["url", "host", "sentinels"],
    },
    Section { name: "ignore", keys: &[IGNORE], addresses: &[] },
    Section {
        name: "ledger",
        keys: &[
            POSTGRES,
            TLS_FILES,
            CONNECT_TIMEOUT,
            &[key("schema", Kind::Text, "aiplat_migrate", "The schema of the tool's own tables.")],
        ],
        addresses: &["url", "host"],
    },
];

/// Variables that are no keys of the file, with what each means.
pub const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("AIPLAT_MIGRATE_CONFIG", "The settings file, as `--config`."),
    ("AIPLAT_MIGRATE_PROFILE", "The profile, as `--profile`."),
    ("AIPLAT_MIGRATE_STORES", "How `dev/stores` runs servers: `packages` or `docker`."),
    ("AIPLAT_MIGRATE_LOG", "What to log, as tracing filters."),
    ("AIPLAT_MIGRATE_CACHE", "Where `dev/stores` keeps its downloads."),
    ("AIPLAT_MIGRATE_NO_DOTENV", "`true`: no .env is read."),
];

/// What the variables of the tests' own switches begin with, after [`PREFIX`].
pub const TEST_SWITCHES: &[&str] = &["FAIL", "TEST_"];

impl Section {
    /// Its keys.
    pub fn all_keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().copied().flatten()
    }

    /// The key that the file calls `name`, or whose `_file` form it is.
    pub fn find(&self, name: &str) -> Option<(&'static Key, Form)> {
        let inline = self.all_keys().find(|key| key.name == name).map(|key| (key, Form::Inline));
        inline.or_else(|| {
            let stem = name.strip_suffix("_file")?;
            let key = self.all_keys().find(|key| key.name == stem && key.kind == Kind::Secret)?;
            Some((key, Form::InFile))
        })
    }

    /// The names that the file may use here, `_file` forms included.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for key in self.all_keys() {
            names.push(key.name.to_string());
            if key.kind == Kind::Secret {
                names.push(format!("{}_file", key.name));
            }
        }
        names
    }
}

/// The section that the file calls `name`.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// The variable that sets `key` of `section`.
pub fn variable(section: &str, key: &str) -> String {
    let parted = if section.is_empty() { "" } else { "_" };
    format!("{PREFIX}{section}{parted}{key}").to_uppercase()
}

/// One row of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// The section; empty for keys at the top of the file.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// The variable that sets it.
    pub variable: String,
    /// The variable that names a file that holds it, where it is a secret.
    pub file_variable: Option<String>,
    /// Whether it is never shown.
    pub secret: bool,
    /// What holds where it is not set; empty where that is nothing.
    pub default: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// Every key, as documentation shows it.
pub fn documented() -> Vec<Documented> {
    let mut rows = Vec::new();
    for section in SECTIONS {
        for key in section.all_keys() {
            let variable = variable(section.name, key.name);
            let secret = key.kind == Kind::Secret;
            rows.push(Documented {
                section: section.name,
                key: key.name,
                file_variable: secret.then(|| format!("{variable}_FILE")),
                variable,
                secret,
                default: key.default,
                meaning: key.meaning,
            });
        }
    }
    rows.push(Documented {
        section: "placeholders",
        key: "<name>",
        variable: format!("{PREFIX}{PLACEHOLDER}<NAME>"),
        file_variable: Some(format!("{PREFIX}{PLACEHOLDER}<NAME>_FILE")),
        secret: false,
        default: "",
        meaning: "The value of `${name}` in migrations; one that comes from a file is kept secret.",
    });
    rows
}
