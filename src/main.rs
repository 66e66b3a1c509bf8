//! argv to exit code; the only exit.

#[cfg(target_env = "musl")]
mod allocator;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aiplat_migrate::cli::{Cli, LogFormat, Output};
use aiplat_migrate::config::{Config, Environment};
use aiplat_migrate::execute::{Event, Listener};
use aiplat_migrate::ledger::Run;
use aiplat_migrate::report::Finished;
use aiplat_migrate::report::{
    Console, Ended, Metrics, Style, out, render_annotations, render_error, render_html,
    render_json, render_junit, render_sarif, render_summary, termination,
};
use aiplat_migrate::signals::Interrupt;
use aiplat_migrate::{Error, Exit, Migrator, clock, crash, tls};
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => Arc::new(cli),
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
    let end = End { cli: cli.clone(), console: console.clone(), metrics: metrics.clone(), began };
    crash::on_panic({
        let end = end.clone();
        move |what, place| {
            stop_anyway(|| std::process::exit(Exit::Crashed.code().into()));
            std::process::exit(end.crashed(what, place).code().into())
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let finished = match runtime {
        Ok(runtime) => {
            let finished = runtime.block_on(carry_out(&cli, run, console, metrics));
            // A store's driver may hold a thread that waits for a server that never answers.
            runtime.shutdown_timeout(Duration::from_millis(500));
            finished
        }
        Err(error) => Err(Error::failed("cannot start").because(error)).into(),
    };
    ExitCode::from(end.of(&finished).code())
}

/// Ends the process in a while even if what is still to be said waits for what the panic has locked.
fn stop_anyway(exit: fn()) {
    let later = move || {
        std::thread::sleep(Duration::from_secs(5));
        exit();
    };
    // Without a thread to spare there is nothing but to hope.
    let _ = std::thread::Builder::new().spawn(later);
}

/// What clap has to say: help and version, or what is wrong with the command line.
fn misused(error: &clap::Error) -> ExitCode {
    let text = |style| match style {
        Style::Colour => error.render().ansi().to_string(),
        Style::Plain => error.render().to_string(),
    };
    let code = error.exit_code();
    if code == 0 {
        let style = Style::of(std::io::stdout().is_terminal());
        return match out::result(&out::for_people(&text(style), style)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let style = Style::of(std::io::stderr().is_terminal());
                out::say(&render_error(&unwritten(&error), style), style);
                ExitCode::from(Exit::Failed.code())
            }
        };
    }
    let style = Style::of(std::io::stderr().is_terminal());
    out::say(&text(style), style);
    if let Some(path) = termination::path(None) {
        // Nobody asked for this file by name: without it the text is in the log alone.
        let _ = termination::write(&path, &text(Style::Plain));
    }
    ExitCode::from(u8::try_from(code).unwrap_or(2))
}

/// What the end of a command takes, however it comes.
#[derive(Clone)]
struct End {
    cli: Arc<Cli>,
    console: Arc<Console>,
    metrics: Arc<Metrics>,
    began: Instant,
}

impl End {
    /// Shows how the command ended, and gives the code that the process ends with.
    fn of(&self, finished: &Finished) -> Exit {
        let shown = self.show(finished);
        let exit = match (&shown, finished.exit()) {
            (Err(_), Exit::Done) => Exit::Failed,
            (_, exit) => exit,
        };
        let unwritten = shown.err().map(|error| unwritten(&error));
        let command = self.cli.command.name();
        let ended = Ended { command, exit, took: self.began.elapsed(), at: clock::now() };
        self.leave_behind(finished, unwritten.as_ref(), ended);
        let error = Error::all(finished.error.iter().cloned().chain(unwritten));
        self.console.ended(command, exit, error.as_ref(), ended.took);
        exit
    }

    /// The end of a command in which the tool itself made a mistake.
    fn crashed(&self, what: &str, place: &str) -> Exit {
        let error = Error::new(Exit::Crashed, format!("aiplat-migrate panicked: {what}"))
            .because(format!("at {place}, version {}", env!("CARGO_PKG_VERSION")))
            .state("this run ended in the middle, as if it had been killed; what is done is in the ledger")
            .hint(format!("run `aiplat-migrate {}` again: it goes on from there", self.cli.command.name()))
            .hint(crash::REPORT);
        self.of(&Err(error).into())
    }

    /// The result on standard output.
    fn show(&self, finished: &Finished) -> std::io::Result<()> {
        let cli = &self.cli;
        let text = match (cli.common.output, &finished.report) {
            (Output::Junit, _) => render_junit(finished),
            (Output::Sarif, _) => out::json(&render_sarif(finished)),
            (Output::Github, _) => {
                if let Err(error) = out::summarize(&render_summary(finished)) {
                    let text = format!("cannot write the summary of the step: {error}");
                    self.console.event(Event::Warning(text));
                }
                render_annotations(finished)
            }
            (Output::Html, _) => render_html(finished),
            (Output::Json, _) => out::json(&render_json(cli.command.name(), finished)),
            (Output::Text, Some(report)) if !cli.common.quiet || finished.error.is_some() => {
                let style = Style::of(std::io::stdout().is_terminal());
                out::for_people(&report.text(style), style)
            }
            (Output::Text, _) => String::new(),
        };
        out::result(&text)
    }

    /// The files for whoever looks when the process is gone; that one cannot be written is said, and
    /// changes nothing about how the command ended.
    fn leave_behind(&self, finished: &Finished, unwritten: Option<&Error>, ended: Ended) {
        let common = &self.cli.common;
        let warn = |what: &str, path: &Path, error: &std::io::Error| {
            let text = format!("cannot write {what} {}: {error}", path.display());
            self.console.event(Event::Warning(text));
        };
        if let Some(path) = &common.metrics_file
            && let Err(error) = self.metrics.write(path, ended)
        {
            warn("the metrics file", path, &error);
        }
        if let Some(path) = termination::path(common.termination_log.as_deref())
            && let Some(reason) = termination::reason(finished, unwritten)
            && let Err(error) = termination::write(&path, &reason)
        {
            warn("the termination log", &path, &error);
        }
    }
}

/// The error for a result that is lost.
fn unwritten(error: &std::io::Error) -> Error {
    Error::failed("the result cannot be written to standard output")
        .because(error)
        .state("the command itself has ended; what was written of its result is not all of it")
        .hint("make room for it, or send it elsewhere, and run the command again")
}

async fn carry_out(cli: &Cli, run: Run, console: Arc<Console>, metrics: Arc<Metrics>) -> Finished {
    if !clock::is_set() {
        return Err(unset_clock()).into();
    }
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

/// The error for a clock that was never set.
fn unset_clock() -> Error {
    Error::usage(format!("the clock of this machine says {}", clock::now().format("%F %T UTC")))
        .because("certificates, the numbers of runs and the ledger's history need one after 1970")
        .state("nothing was touched")
        .hint("set the clock")
}

/// Asks a person on a terminal; elsewhere the answer is no.
fn ask(question: &str) -> bool {
    let is_terminal = std::io::stderr().is_terminal();
    if !std::io::stdin().is_terminal() || !is_terminal {
        return false;
    }
    let mut answer = String::new();
    let asked = out::ask(&format!("{question} [y/N] "), Style::of(is_terminal));
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim(), "y" | "Y" | "yes")
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
    let style = Style::of(std::io::stderr().is_terminal());
    let log = out::Log { json: cli.common.log_format == LogFormat::Json, style };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log);
    match cli.common.log_format {
        LogFormat::Text => builder.with_ansi(style == Style::Colour).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
