//! What became of the runs that were killed, counted.

use super::{Picture, Project, picture};

/// What became of killed runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that were killed.
    pub kills: usize,
    /// Those after which the next runs ended where an undisturbed one does.
    pub converged: usize,
    /// Migrations, statements, documents, keys and commands that were found done twice.
    pub doubled: usize,
    /// How often a person had to say what became of a raw command.
    pub raw: usize,
    /// How often the next run did not end well by itself for any other reason.
    pub by_hand: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.kills += other.kills;
        self.converged += other.converged;
        self.doubled += other.doubled;
        self.raw += other.raw;
        self.by_hand += other.by_hand;
    }
}

impl Tally {
    /// Lets `arguments`, of which `killed` runs were killed, go on to the end, and counts what that
    /// took and whether it ends at `expected`. Says what differs, if anything.
    pub fn go_on(
        &mut self,
        project: &Project,
        arguments: &[&str],
        killed: usize,
        expected: &Picture,
    ) -> Result<(), String> {
        self.kills += killed;
        let ended = self.until_it_ends(project, arguments);
        self.doubled += project.doubled();
        ended?;
        let found = picture(project);
        if found != *expected {
            return Err(expected.difference(&found));
        }
        self.converged += killed;
        Ok(())
    }

    /// Runs `arguments` until they end well; answers what only a person can.
    fn until_it_ends(&mut self, project: &Project, arguments: &[&str]) -> Result<(), String> {
        loop {
            let finished = project.env.run(arguments);
            if finished.code == 0 {
                return Ok(());
            }
            let in_doubt = project.env.sql(
                "SELECT store || '@' || version, error->>'label' FROM aiplat_migrate.ledger \
                 WHERE state = 'in doubt'",
            );
            let answer = in_doubt.first().and_then(|row| {
                let (id, label) = row.split_once('|')?;
                Some((id, if project.was_run(label)? { "--done" } else { "--not-done" }))
            });
            let Some((id, answer)) = answer else {
                self.by_hand += 1;
                return Err(format!("exit {}: {}", finished.code, finished.stderr));
            };
            self.raw += 1;
            finished.says(&[&format!("repair {answer} {id}")]);
            project.env.run(&["repair", answer, id, "--yes"]).expect(0);
        }
    }

    /// The line from which `dev/chaos` makes its table.
    pub fn line(&self, what: &str) -> String {
        format!(
            "CHAOS TALLY {what} kills={} converged={} doubled={} raw={} by_hand={}",
            self.kills, self.converged, self.doubled, self.raw, self.by_hand
        )
    }

    /// Fails unless every kill converged, nothing was done twice, and no person was needed but for
    /// raw commands.
    pub fn check(&self, what: &str) {
        let good =
            Tally { kills: self.kills, converged: self.kills, raw: self.raw, ..Tally::default() };
        assert_eq!(*self, good, "{what}");
    }
}
