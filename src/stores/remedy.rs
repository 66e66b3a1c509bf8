//! What a store answers about one object that is not as recorded.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::shape::{Attributes, Change, Shape};

/// What a store's own `heal` answers for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remedy {
    /// Steps of a document store.
    pub steps: Vec<Value>,
    /// SQL.
    pub sql: Sql,
    /// What the steps do besides.
    pub cautions: Vec<String>,
    /// What remains for a person.
    pub person: Vec<String>,
}

/// The way back for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heal {
    /// The object.
    pub object: String,
    /// How it differs.
    pub changes: Vec<Change>,
    /// What puts it back.
    pub means: Means,
    /// What that does besides: messages that expire, an index that is built again.
    pub cautions: Vec<String>,
    /// What a person must decide, and why.
    pub person: Vec<String>,
    /// The names that its owner may have.
    pub part_of: Vec<String>,
    /// The secret placeholders for whose values `${name}` stands in the means.
    pub templates: Vec<String>,
}

/// What puts an object back.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Means {
    /// Nothing does.
    #[default]
    None,
    /// Steps, as a file of the store would have them.
    Steps(String),
    /// SQL.
    Sql(Sql),
}

/// What a repair did to a store, as two pictures of it tell.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What is not as recorded now.
    pub left: Vec<Change>,
    /// What became other than it was without becoming as recorded.
    pub spoilt: Vec<Change>,
    /// What is recorded and is not there.
    pub gone: BTreeSet<String>,
}

/// How SQL puts one object back. Whether it did is not taken from the SQL: the store is read again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sql {
    /// The ways to do it in a transaction; the first counts after which the object is as recorded and
    /// nothing else is changed. Without one, nothing is put back.
    pub ways: Vec<Way>,
    /// What is built before, beside the traffic.
    pub successor: Option<Successor>,
    /// Whether it needs a transaction of its own, since it takes long and holds up nobody.
    pub alone: bool,
    /// Whether it only takes away what was made by hand: that comes last, once all else is back.
    pub removes: bool,
}

/// One way to put an object back in a transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// The statements.
    pub sql: String,
    /// A question for the statements that give an object which is made anew what the one before it had
    /// and no record holds: owner, rights, comments.
    pub carried: Option<String>,
    /// What is done last: owner, rights and comment as recorded.
    pub then: String,
}

/// What takes the place of an object once it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    /// The statements that build it, each by itself, under a name that only a repair gives.
    pub build: Vec<String>,
    /// A question that tells, `t` or `f`, whether something of it stands.
    pub stands: String,
    /// Drops it; it must stand.
    pub discard: String,
    /// Whether it refers to the keys of others, which go back before.
    pub refers: bool,
}

/// How one object differs from its record.
pub struct Drifted<'a> {
    /// The kind of object: the first word or words of its name.
    pub kind: &'a str,
    /// Its name without the kind.
    pub name: &'a str,
    /// What is recorded; `None` for a part that was made by hand.
    pub recorded: Option<&'a Attributes>,
    /// The attributes that differ; empty where the object as a whole is there on one side only.
    pub changes: Vec<&'a Change>,
    /// What is live, where the object as a whole is there on that side only.
    pub live: Option<&'a Value>,
    /// All that is recorded of the store.
    pub shape: &'a Shape,
    /// All that is in the store now.
    pub there: &'a Shape,
}

impl Remedy {
    pub fn steps(steps: impl IntoIterator<Item = Value>) -> Remedy {
        Remedy { steps: steps.into_iter().collect(), ..Remedy::default() }
    }

    pub fn sql(sql: impl Into<Sql>) -> Remedy {
        Remedy { sql: sql.into(), ..Remedy::default() }
    }

    pub fn person(why: impl Into<String>) -> Remedy {
        Remedy { person: vec![why.into()], ..Remedy::default() }
    }

    pub fn caution(mut self, caution: impl Into<String>) -> Remedy {
        self.cautions.push(caution.into());
        self
    }
}

impl Heal {
    /// Whether anything puts it back, or a part of it.
    pub fn is_possible(&self) -> bool {
        self.means != Means::None
    }

    /// Whether all of it is back, as `verdict` says; a part of it, where the rest is for a person.
    pub fn is_done(&self, verdict: &Verdict) -> bool {
        // A part of what is gone is gone with it, and is told with it alone.
        if verdict.gone.contains(&self.object) {
            return false;
        }
        let is_left = |change: &&Change| {
            let of_it = |left: &&Change| {
                left.object == change.object
                    && (change.attribute.is_none()
                        || left.attribute.is_none()
                        || left.attribute == change.attribute)
            };
            verdict.left.iter().any(|left| of_it(&left))
        };
        let left = self.changes.iter().filter(is_left).count();
        left == 0 || (!self.person.is_empty() && left < self.changes.len())
    }
}

impl Means {
    /// What SQL is run, for a plan.
    pub fn statements(&self) -> Vec<String> {
        match self {
            Means::None | Means::Steps(_) => Vec::new(),
            Means::Sql(sql) => sql.statements(),
        }
    }
}

impl Sql {
    /// One way after another.
    pub fn ways(ways: impl IntoIterator<Item = Way>) -> Sql {
        Sql { ways: ways.into_iter().collect(), ..Sql::default() }
    }

    /// Takes away what was made by hand.
    pub fn removing(sql: impl Into<String>) -> Sql {
        Sql { removes: true, ..Sql::ways([Way::new(sql)]) }
    }

    /// Whether it does anything.
    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// Every text in it.
    pub fn texts(&self) -> Vec<String> {
        let texts = std::cell::RefCell::new(Vec::new());
        self.mapped(&|text| {
            texts.borrow_mut().push(text.to_string());
            String::new()
        });
        texts.into_inner()
    }

    /// The same with every text as `change` makes it.
    pub fn mapped(&self, change: &dyn Fn(&str) -> String) -> Sql {
        let way = |way: &Way| Way {
            sql: change(&way.sql),
            carried: way.carried.as_deref().map(change),
            then: change(&way.then),
        };
        let successor = |one: &Successor| Successor {
            build: one.build.iter().map(|text| change(text)).collect(),
            stands: change(&one.stands),
            discard: change(&one.discard),
            refers: one.refers,
        };
        Sql {
            ways: self.ways.iter().map(way).collect(),
            successor: self.successor.as_ref().map(successor),
            ..*self
        }
    }

    /// What is run, in this order, for a plan.
    pub fn statements(&self) -> Vec<String> {
        let build = self.successor.iter().flat_map(|successor| successor.build.iter().cloned());
        let way = |(at, way): (usize, &Way)| {
            let note = match &way.carried {
                Some(_) => " -- and its owner, rights and comments as they are",
                None => "",
            };
            let or = if at > 0 { "-- or, where that cannot be done:\n" } else { "" };
            let sql = format!("{}{}", way.sql, way.then);
            format!("{or}{}{note}", sql.trim_end())
        };
        build.chain(self.ways.iter().enumerate().map(way)).collect()
    }
}

impl<S: Into<String>> From<S> for Sql {
    fn from(sql: S) -> Sql {
        Sql::ways([Way::new(sql)])
    }
}

impl Way {
    pub fn new(sql: impl Into<String>) -> Way {
        Way { sql: sql.into(), ..Way::default() }
    }
}

impl Drifted<'_> {
    /// Whether it is gone as a whole.
    pub fn is_absent(&self) -> bool {
        self.recorded.is_some() && self.changes.is_empty()
    }

    /// Whether this attribute is among those that differ.
    pub fn differs_in(&self, attribute: &str) -> bool {
        self.changes.iter().any(|change| change.attribute.as_deref() == Some(attribute))
    }

    /// A recorded text; empty where there is none.
    pub fn text(&self, attribute: &str) -> &str {
        let recorded = self.recorded.and_then(|attributes| attributes.get(attribute));
        recorded.and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is gone with the data that it held.
pub fn gone_with_its_data(what: &str) -> Remedy {
    Remedy::person(format!(
        "{what} is gone with the data it held: bring it back from a backup; or record that it is \
         gone with repair --accept-drift and make it anew by a migration"
    ))
}
