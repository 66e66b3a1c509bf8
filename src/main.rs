//! argv to exit code; the only exit.

#[cfg(target_env = "musl")]
mod allocator;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use aiplat_migrate::cli::{Cli, LogFormat, Output};
use aiplat_migrate::config::{Config, Environment};
use aiplat_migrate::execute::{Event, Listener};
use aiplat_migrate::ledger::Run;
use aiplat_migrate::report::Finished;
use aiplat_migrate::report::{
    Console, Ended, Metrics, Style, render_annotations, render_html, render_json, render_junit,
    render_sarif, render_summary, termination,
};
use aiplat_migrate::signals::Interrupt;
use aiplat_migrate::{Error, Migrator, tls};
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    #[cfg(target_env = "musl")]
    if cli.command.may_last() {
        allocator::give_back_at_once();
    }
    log_to_stderr(&cli);
    tls::install_provider();
    let (began, run, metrics) = (Instant::now(), Run::new(), Arc::new(Metrics::default()));
    let console = Arc::new(Console::new(
        &run.id,
        std::io::stderr().is_terminal(),
        cli.common.log_format == LogFormat::Json,
        cli.common.quiet,
    ));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let finished = match runtime {
        Ok(runtime) => {
            let finished = runtime.block_on(carry_out(&cli, run, console.clone(), metrics.clone()));
            // A store's driver may hold a thread that waits for a server that never answers.
            runtime.shutdown_timeout(std::time::Duration::from_millis(500));
            finished
        }
        Err(error) => Err(Error::failed("cannot start").because(error)).into(),
    };
    let ended = Ended {
        command: cli.command.name(),
        exit: finished.exit(),
        took: began.elapsed(),
        at: chrono::Utc::now(),
    };
    show(&cli, &finished);
    leave_behind(&cli, &finished, &console, &metrics, ended);
    console.ended(ended.command, ended.exit, finished.error.as_ref(), ended.took);
    ExitCode::from(ended.exit.code())
}

/// What clap has to say: help and version, or what is wrong with the command line.
fn misused(error: &clap::Error) -> ExitCode {
    // A closed pipe is no error of ours.
    let _ = error.print();
    let code = error.exit_code();
    if let (Some(path), true) = (termination::path(None), code != 0) {
        // Nobody asked for this file by name: without it the text is in the log alone.
        let _ = termination::write(&path, &error.to_string());
    }
    ExitCode::from(u8::try_from(code).unwrap_or(2))
}

/// The files for whoever looks when the process is gone; that one cannot be written is said, and
/// changes nothing about how the command ended.
fn leave_behind(
    cli: &Cli,
    finished: &Finished,
    console: &Console,
    metrics: &Metrics,
    ended: Ended,
) {
    let warn = |what: &str, path: &Path, error: &std::io::Error| {
        let text = format!("cannot write {what} {}: {error}", path.display());
        console.event(Event::Warning(text));
    };
    if let Some(path) = &cli.common.metrics_file
        && let Err(error) = metrics.write(path, ended)
    {
        warn("the metrics file", path, &error);
    }
    if let Some(path) = termination::path(cli.common.termination_log.as_deref())
        && let Some(reason) = termination::reason(finished)
        && let Err(error) = termination::write(&path, &reason)
    {
        warn("the termination log", &path, &error);
    }
}

async fn carry_out(cli: &Cli, run: Run, console: Arc<Console>, metrics: Arc<Metrics>) -> Finished {
    if let Err(error) = cli.common.check(&cli.command) {
        return Err(error).into();
    }
    let config = Environment::of_process().and_then(|environment| {
        let options = cli.common.options();
        match cli.command.is_offline() {
            true => Config::offline(&options, &environment),
            false => Config::load(&options, &environment),
        }
    });
    let config = match config {
        Ok(config) => config,
        Err(error) => return Err(error).into(),
    };
    for warning in config.warnings.iter().cloned().chain(config.plain_text()) {
        console.event(Event::Warning(warning));
    }
    let interrupt = Interrupt::new();
    let told = console.clone();
    interrupt.listen(cli.command.grace(), move |grace| told.event(Event::Stopping { grace }));
    let migrator = Migrator::new(config)
        .only(cli.common.stores.clone())
        .telling(Arc::new((console.clone(), cli.common.metrics_file.as_ref().map(|_| metrics))))
        .as_run(run)
        .heeding(interrupt);
    let confirm = |question: &str| cli.common.yes || ask(question);
    tokio::select! {
        finished = cli.command.run(&migrator, &confirm) => finished,
        () = console.heartbeat() => Err(Error::failed("the heartbeat ended")).into(),
    }
}

/// Asks a person on a terminal; elsewhere the answer is no.
fn ask(question: &str) -> bool {
    let mut stderr = std::io::stderr();
    if !std::io::stdin().is_terminal() || !stderr.is_terminal() {
        return false;
    }
    let mut answer = String::new();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// The result on standard output. A closed pipe is no error of ours.
fn show(cli: &Cli, finished: &Finished) {
    let mut stdout = std::io::stdout().lock();
    let text = match (cli.common.output, &finished.report) {
        (Output::Junit, _) => render_junit(finished),
        (Output::Sarif, _) => format!("{:#}\n", render_sarif(finished)),
        (Output::Github, _) => {
            summarize(&render_summary(finished));
            render_annotations(finished)
        }
        (Output::Html, _) => render_html(finished),
        (Output::Json, _) => format!("{:#}\n", render_json(cli.command.name(), finished)),
        (Output::Text, Some(report)) if !cli.common.quiet || finished.error.is_some() => {
            report.text(Style::of(std::io::stdout().is_terminal()))
        }
        (Output::Text, _) => String::new(),
    };
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Appends to the summary of the step, where GitHub Actions says that it takes one.
fn summarize(text: &str) {
    if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            let _ = writeln!(std::io::stderr(), "warning: no summary was written: {error}");
        }
    }
}

/// What the drivers say reaches standard error where it was asked for: `-v`, `-vv`, or
/// AIPLAT_MIGRATE_LOG in the words of `tracing`'s filters.
fn log_to_stderr(cli: &Cli) {
    let own = match (cli.common.log_format, cli.common.verbose) {
        (LogFormat::Json, 0) => "off,aiplat_migrate=info",
        (LogFormat::Text, 0) => "off",
        (_, 1) => "warn,aiplat_migrate=debug",
        (_, _) => "debug,aiplat_migrate=trace",
    };
    let filter = std::env::var("AIPLAT_MIGRATE_LOG").unwrap_or_else(|_| own.to_string());
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(own));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.common.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
