//! Where the numbers come from, and how to make them again.

use std::collections::BTreeMap;

use report::{Block, Column, Section, Table};
use serde::Deserialize;
use spec::Ready;
use store::{Provenance, UnixSeconds};

use super::{Record, section};
use crate::when::utc;

/// What an invocation writes down of itself, as far as it is told here; older ones have less.
#[derive(Deserialize)]
struct Invocation {
    isoflop_version: String,
    git: Option<Commit>,
    command: Vec<String>,
    engine: Option<String>,
    #[serde(default)]
    slots: Vec<Slot>,
}

#[derive(Deserialize)]
struct Commit {
    commit: String,
    is_dirty: bool,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    device: String,
    #[serde(default)]
    name: Option<String>,
    threads: u32,
}

#[derive(Deserialize)]
struct TrainersWord {
    trainer: Ready,
}

pub fn section_of(record: &Record) -> Section {
    let blocks = [invocations(&record.provenance), trainers(&record.provenance)].concat();
    section("Provenance", blocks)
}

fn read<'a, T: Deserialize<'a>>(rows: &'a [Provenance]) -> Vec<(UnixSeconds, T)> {
    rows.iter().filter_map(|row| Some((row.at, serde_json::from_str(&row.json).ok()?))).collect()
}

fn invocations(rows: &[Provenance]) -> Vec<Block> {
    let invocations: Vec<(UnixSeconds, Invocation)> = read(rows);
    let row = |(at, of): &(UnixSeconds, Invocation)| {
        vec![
            utc(*at),
            of.isoflop_version.clone(),
            of.git.as_ref().map_or("-".to_owned(), Commit::words),
            of.engine.clone().unwrap_or_else(|| "local".to_owned()),
            slots(&of.slots),
            format!("`{}`", of.command.join(" ").replace('`', "'")),
        ]
    };
    let columns =
        ["started", "isoflop", "commit", "engine", "slots", "command"].map(Column::left).to_vec();
    let table = Table { columns, rows: invocations.iter().map(row).collect() };
    let caption = "Every start of the sweep".to_owned();
    (!table.rows.is_empty()).then_some(Block::Table { caption, table }).into_iter().collect()
}

impl Commit {
    fn words(&self) -> String {
        let short = self.commit.get(..12).unwrap_or(&self.commit);
        format!("`{short}`{}", if self.is_dirty { ", with changes" } else { "" })
    }
}

/// `2 of cpu, 1 thread each`.
fn slots(slots: &[Slot]) -> String {
    let mut kinds: BTreeMap<&Slot, usize> = BTreeMap::new();
    for slot in slots {
        *kinds.entry(slot).or_default() += 1;
    }
    let words = |(slot, n): (&Slot, usize)| {
        let name = slot.name.as_ref().filter(|name| !name.is_empty());
        let name = name.map_or_else(String::new, |name| format!(" ({name})"));
        let threads = if slot.threads == 1 { "thread" } else { "threads" };
        format!("{n} × {}{name}, {} {threads}", slot.device, slot.threads)
    };
    kinds.into_iter().map(words).collect::<Vec<_>>().join("; ")
}

/// Trainers that differ in nothing are one row.
fn trainers(rows: &[Provenance]) -> Vec<Block> {
    let mut kinds: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (_, TrainersWord { trainer }) in read(rows) {
        let kind = vec![
            trainer.trainer_version,
            trainer.libtorch_version,
            trainer.device,
            trainer.device_name,
            trainer.threads.to_string(),
        ];
        *kinds.entry(kind).or_default() += 1;
    }
    let rows: Vec<Vec<String>> = kinds
        .into_iter()
        .map(|(mut kind, n)| {
            kind.push(n.to_string());
            kind
        })
        .collect();
    let mut columns = ["trainer", "libtorch", "device", "its name"].map(Column::left).to_vec();
    columns.extend(["threads", "started"].map(Column::right));
    let caption = "Trainers".to_owned();
    let table = Table { columns, rows };
    (!table.rows.is_empty()).then_some(Block::Table { caption, table }).into_iter().collect()
}

/// How to make all of it again.
pub fn again(record: &Record) -> Section {
    if record.is_import() {
        return imported(record);
    }
    let name = quoted(&record.sweep.name);
    let db = record.db.display().to_string();
    let db = match db.as_str() {
        "results/isoflop.db" => String::new(),
        other => format!(" --db {}", quoted(other)),
    };
    let last: Vec<(UnixSeconds, Invocation)> = read(&record.provenance);
    let last = last.last().and_then(|(_, of)| of.git.as_ref());
    let checkout = last.map_or_else(String::new, |git| format!("git checkout {}\n", git.commit));
    let file = quoted(&format!("{}.toml", record.sweep.name));
    let commands = format!(
        "{checkout}isoflop sweep {file}{db}    # trains what the store does not have\n\
         isoflop figures {name}{db}\n\
         isoflop fit {name}{db} --format json\n\
         isoflop report {name}{db}"
    );
    let text = "Save the sweep file below and start it. It is what the store holds, with every `--set` written into it. Ids \
                are hashes of what trials are, so nothing that has finished is trained again; on the same device and \
                with as many threads a CPU gives the same numbers, bit for bit.";
    section(
        "How to make it again",
        vec![
            Block::Text(text.to_owned()),
            Block::Code(commands),
            Block::LongCode {
                caption: "The sweep file".to_owned(),
                code: record.stored.record.source.clone(),
            },
        ],
    )
}

/// What was trained elsewhere can be read again, and no more.
fn imported(record: &Record) -> Section {
    let text = "These runs were trained elsewhere and imported: `isoflop import` reads their table again, and changes nothing \
                where that is still the same. This is what the store says of where they came from.";
    let from = record.stored.record.spec.clone();
    section("How to make it again", vec![Block::Text(text.to_owned()), Block::Code(from)])
}

/// As a shell's word.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_into_them() {
        assert_eq!(quoted("results/a-1.db"), "results/a-1.db");
        assert_eq!(quoted("it's $(x)"), "'it'\\''s $(x)'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn slots_that_are_alike_are_counted() {
        let slot = |threads| Slot { device: "cpu".into(), name: Some("Xeon".into()), threads };
        assert_eq!(
            slots(&[slot(1), slot(1), slot(2)]),
            "2 × cpu (Xeon), 1 thread; 1 × cpu (Xeon), 2 threads"
        );
        assert_eq!(slots(&[]), "");
    }
}
