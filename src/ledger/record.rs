//! Reads the ledger's values. One that is not what its column is for ends the command: to take it
//! for nothing would begin a step twice, or undo a migration without those that depend on it.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, WasNull, WrongType};

use super::LedgerError;
use crate::migration::{Requirement, Version};
use crate::stores::StoreKind;

/// A row as it was answered.
pub(super) struct Record<'r> {
    row: &'r Row,
    table: Table,
}

/// Where a row comes from. The columns that name it come first.
#[derive(Clone, Copy)]
pub(super) enum Table {
    /// `id`, `store`, `version`.
    Ledger,
    /// `store`.
    Shape,
    /// `store`.
    Identity,
    /// `name`.
    Tag,
}

impl<'r> Record<'r> {
    pub fn of(table: Table, row: &'r Row) -> Record<'r> {
        Record { row, table }
    }

    pub fn get<T: FromSql<'r>>(&self, at: usize) -> Result<T, LedgerError> {
        self.row.try_get(at).map_err(|error| self.unreadable(at, self.why(at, &error)))
    }

    pub fn json<T: DeserializeOwned>(&self, at: usize) -> Result<T, LedgerError> {
        self.get(at).map(|Json(value)| value)
    }

    pub fn json_if_any<T: DeserializeOwned>(&self, at: usize) -> Result<Option<T>, LedgerError> {
        self.get::<Option<Json<T>>>(at).map(|value| value.map(|Json(value)| value))
    }

    pub fn parsed<T: FromStr<Err: Display>>(&self, at: usize) -> Result<T, LedgerError> {
        self.get::<&str>(at)?.parse().map_err(|why| self.unreadable(at, why))
    }

    pub fn count(&self, at: usize) -> Result<usize, LedgerError> {
        let number: i32 = self.get(at)?;
        usize::try_from(number).map_err(|_| self.unreadable(at, format!("{number} is negative")))
    }

    /// The store in column `at`; one that this version does not know goes to `newer`.
    pub fn store(
        &self,
        at: usize,
        newer: &mut BTreeSet<String>,
    ) -> Result<Option<StoreKind>, LedgerError> {
        let name: &str = self.get(at)?;
        let known = name.parse().ok();
        if known.is_none() {
            newer.insert(name.to_string());
        }
        Ok(known)
    }

    /// The requirements in column `at`, except those on stores that this version does not know, whose
    /// names go to `newer`.
    pub fn requirements(
        &self,
        at: usize,
        newer: &mut BTreeSet<String>,
    ) -> Result<Vec<Requirement>, LedgerError> {
        let mut known = Vec::new();
        for text in self.json::<Vec<String>>(at)? {
            match text.split_once('@') {
                Some((store, version)) if store.parse::<StoreKind>().is_err() => {
                    version.parse::<Version>().map_err(|why| self.unreadable(at, why))?;
                    newer.insert(store.to_string());
                }
                _ => known.push(text.parse().map_err(|why| self.unreadable(at, why))?),
            }
        }
        Ok(known)
    }

    pub fn unreadable(&self, at: usize, why: impl Display) -> LedgerError {
        let column = self.row.columns().get(at).map_or("?", |column| column.name());
        LedgerError::Unreadable {
            row: self.name(),
            column: column.to_string(),
            why: why.to_string(),
        }
    }

    fn why(&self, at: usize, error: &tokio_postgres::Error) -> String {
        match error.source() {
            Some(cause) if cause.is::<WasNull>() => "it is null".to_string(),
            Some(cause) if cause.is::<WrongType>() => {
                let column = self.row.columns().get(at);
                format!("it is of the type {}", column.map_or("?", |column| column.type_().name()))
            }
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        }
    }

    fn name(&self) -> String {
        let text = |at| self.row.try_get::<_, &str>(at).unwrap_or("?");
        match self.table {
            Table::Ledger => {
                let number =
                    self.row.try_get::<_, i64>(0).map_or("?".to_string(), |n| n.to_string());
                row_name(&number, text(1), text(2))
            }
            Table::Shape => format!("the ledger's shape of {}", text(0)),
            Table::Identity => format!("the ledger's identity of {}", text(0)),
            Table::Tag => format!("the ledger's tag {}", text(0)),
        }
    }
}

/// A row of the table `ledger` in words.
pub(super) fn row_name(number: impl Display, store: &str, version: &str) -> String {
    format!("the ledger's row {number} ({store}@{version})")
}
