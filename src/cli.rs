//! The command line, and one flat match from subcommand to command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    Confirm, Down, Hash, History, New, Plan, Redo, Repair, Status, Tag, Up, Validate, Wait,
};
use crate::config::Options;
use crate::error::Error;
use crate::migrator::Migrator;
use crate::report::Finished;
use crate::stores::StoreKind;

/// One migration history for PostgreSQL, MongoDB, Weaviate, Kafka and Redis.
#[derive(Debug, Parser)]
#[command(name = "aiplat-migrate", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage/configuration/file, 3 files, ledger and \
                        stores differ, 4 pending, 5 locked, 6 unreachable, 70 a mistake in the tool, \
                        130/143 interrupted."
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The settings file [default: the nearest aiplat-migrate.toml upward]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The profile of the settings file, for instance `prod` for [profile.prod]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Only these stores, separated by commas
    #[arg(long = "store", global = true, value_name = "STORES", value_delimiter = ',')]
    pub stores: Vec<StoreKind>,
    /// The form of the result on standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Output,
    /// Ask nothing
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice: what the drivers say too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// A Prometheus text file to write at the end, for node_exporter's textfile collector
    #[arg(long, global = true, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// Where to write the reason of a failure, in at most 4 KB [default: /dev/termination-log, if
    /// there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
    /// The form of the log on standard error
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub log_format: LogFormat,
}

/// The forms of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs; documented in docs/output.md.
    Json,
    /// For `validate`: JUnit's XML, a test case per finding.
    Junit,
    /// For `validate`: SARIF 2.1.0, for code scanning.
    Sarif,
    /// For `validate`: annotations of GitHub Actions, the rest in the step's summary.
    Github,
    /// For `validate`: a page for people, in one file.
    Html,
}

/// The forms of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply what is pending
    Up(Up),
    /// Undo the newest migration, or down to a point
    Down(Down),
    /// Undo the newest migration and apply it again
    Redo(Redo),
    /// Show every migration of every store and its state
    Status(Status),
    /// Show what `up` would do, step by step, with its hazards
    Plan(Plan),
    /// Hold files, ledger and live stores against each other
    Validate(Validate),
    /// Settle what failed, is in doubt, changed or missing
    Repair(Repair),
    /// Give the present point of all stores a name
    Tag(Tag),
    /// Show what was done, when and by whom
    History(History),
    /// Write a new migration file
    New(New),
    /// Write migrations.sum
    Hash(Hash),
    /// Wait until all stores answer
    Wait(Wait),
}

impl Command {
    /// Whether the command reads files alone: no store needs to be configured.
    pub fn is_offline(&self) -> bool {
        match self {
            Command::New(_) | Command::Hash(_) => true,
            Command::Validate(validate) => validate.offline,
            Command::Up(_)
            | Command::Down(_)
            | Command::Redo(_)
            | Command::Status(_)
            | Command::Plan(_)
            | Command::Repair(_)
            | Command::Tag(_)
            | Command::History(_)
            | Command::Wait(_) => false,
        }
    }

    /// Whether the command may be at work for long, and hold much: not one that only asks the ledger.
    pub fn may_last(&self) -> bool {
        match self {
            Command::Up(_)
            | Command::Down(_)
            | Command::Redo(_)
            | Command::Repair(_)
            | Command::Validate(_) => true,
            Command::Status(_)
            | Command::Plan(_)
            | Command::Tag(_)
            | Command::History(_)
            | Command::New(_)
            | Command::Hash(_)
            | Command::Wait(_) => false,
        }
    }

    /// The verb.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Up(_) => "up",
            Command::Down(_) => "down",
            Command::Redo(_) => "redo",
            Command::Status(_) => "status",
            Command::Plan(_) => "plan",
            Command::Validate(_) => "validate",
            Command::Repair(_) => "repair",
            Command::Tag(_) => "tag",
            Command::History(_) => "history",
            Command::New(_) => "new",
            Command::Hash(_) => "hash",
            Command::Wait(_) => "wait",
        }
    }

    /// How long steps under way may go on after the first signal.
    pub fn grace(&self) -> Duration {
        match self {
            Command::Up(up) => up.manner.grace,
            Command::Down(down) => down.manner.grace,
            Command::Redo(redo) => redo.manner.grace,
            Command::Status(_)
            | Command::Plan(_)
            | Command::Validate(_)
            | Command::Repair(_)
            | Command::Tag(_)
            | Command::History(_)
            | Command::New(_)
            | Command::Hash(_)
            | Command::Wait(_) => Duration::ZERO,
        }
    }

    /// Carries the command out. `confirm` asks a person; without one it answers no.
    pub async fn run(&self, migrator: &Migrator, confirm: Confirm<'_>) -> Finished {
        match self {
            Command::Up(up) => migrator.up(up).await,
            Command::Down(down) => migrator.down(down, confirm).await,
            Command::Redo(redo) => migrator.redo(redo, confirm).await,
            Command::Status(status) => migrator.status(status).await.into(),
            Command::Plan(plan) => migrator.plan(plan).await.into(),
            Command::Validate(validate) => migrator.validate(validate).await.into(),
            Command::Repair(repair) => migrator.repair(repair, confirm).await.into(),
            Command::Tag(tag) => migrator.tag(tag).await.into(),
            Command::History(history) => migrator.history(history).await.into(),
            Command::New(new) => migrator.new_migration(new).into(),
            Command::Hash(_) => migrator.hash().into(),
            Command::Wait(wait) => migrator.wait(wait).await.into(),
        }
    }
}

impl Common {
    /// Refuses a form of result that the command does not have.
    pub fn check(&self, command: &Command) -> Result<(), Error> {
        match (self.output, command) {
            (Output::Text | Output::Json, _) | (_, Command::Validate(_)) => Ok(()),
            (Output::Junit | Output::Sarif | Output::Github | Output::Html, _) => {
                let message = format!("`{}` has no such --output", command.name());
                Err(Error::usage(message)
                    .hint("there are text and json; the others are for validate"))
            }
        }
    }

    /// What the command line says about settings.
    pub fn options(&self) -> Options {
        Options { config: self.config.clone(), profile: self.profile.clone() }
    }
}
