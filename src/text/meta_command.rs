//! psql's own commands: their names, and what to write in a migration instead.

/// The name of a command and what stands behind it, of a line without its backslash.
pub(super) fn name_and_rest(line: &str) -> (&str, &str) {
    let end = line.find(|c: char| !c.is_ascii_alphabetic() && c != '_');
    let first = line.chars().next().map_or(0, char::len_utf8);
    let end = end.unwrap_or(line.len()).max(first);
    (&line[..end], line[end..].trim())
}

/// What to write in place of the command `name` with `rest` behind it.
pub(super) fn way_out(name: &str, rest: &str) -> String {
    let fixed = match name {
        "i" | "ir" | "include" | "include_relative" => {
            "put the text of that file here, or make it a migration of its own"
        }
        "copy" => {
            "write `COPY … FROM stdin;` with the data below it, closed with a line that holds only `\\.`"
        }
        "set" if is_control(rest) => {
            "delete the line: it is about psql alone; a run stops at the first error by itself"
        }
        "set" | "prompt" | "getenv" | "unset" | "gset" => return variable(first_word(rest)),
        "gexec" => "write a DO block that runs the text: DO $$ BEGIN EXECUTE (SELECT …); END $$;",
        "if" | "elif" | "else" | "endif" => {
            "decide in SQL, with IF in a DO block; what differs by environment is a placeholder: \
             `-- placeholders: on` and `${name}`"
        }
        "c" | "connect" => {
            "delete the line: a file runs in the database that is configured; another database is a \
             project of its own"
        }
        "echo" | "qecho" | "warn" => {
            "delete the line, or write DO $$ BEGIN RAISE NOTICE '…'; END $$;"
        }
        "encoding" => "write `SET client_encoding = '…';` at the top of the file",
        "restrict" | "unrestrict" => {
            "as pg_dump writes it, on a line of its own between statements, it is passed over"
        }
        "password" => {
            "write ALTER ROLE … PASSWORD with a secret placeholder, `-- placeholders: on`"
        }
        "q" | "quit" => "psql reads no further here: delete the line and all that stands below it",
        "g" | "gx" | "gdesc" | "watch" | "crosstabview" | ";" => {
            "end the statement with `;` instead"
        }
        "bind" | "parse" => "write the values into the statement",
        "!" | "cd" | "setenv" => {
            "delete the line: a migration runs no program; do it before `aiplat-migrate up`"
        }
        "lo_import" | "lo_export" | "lo_unlink" => {
            "use lo_from_bytea(0, …), lo_get(…), lo_unlink(…), which run in the server"
        }
        "ef" | "ev" | "e" | "edit" => "write CREATE OR REPLACE FUNCTION or VIEW itself",
        "." => "delete the line: it ends the data of COPY … FROM stdin, and stands behind none",
        _ => "delete the line: it shows something, or sets how psql shows it, and changes nothing",
    };
    fixed.to_string()
}

/// What to write in place of the variable `name`.
pub(super) fn variable(name: &str) -> String {
    let name = if name.is_empty() { "name" } else { name };
    format!(
        "write `-- placeholders: on` on the first line and `${{{name}}}` in the text; its value comes from \
         [placeholders] in aiplat-migrate.toml"
    )
}

fn first_word(rest: &str) -> &str {
    rest.split_whitespace().next().unwrap_or_default()
}

/// psql's own variables have names of capitals: `ON_ERROR_STOP`, `QUIET`.
fn is_control(rest: &str) -> bool {
    let name = first_word(rest);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}
