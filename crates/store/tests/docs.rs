//! docs/store.md describes the store that there is: it is written from the dictionary, which has every
//! table, view and column.

use std::fmt::Write;
use std::path::Path;

use store::{Described, Relation, Store, query};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/store.md");

/// What is above is written by hand.
const MARK: &str = "<!-- From here on written by `make docs` from the store's dictionary: see its migrations. -->\n";

async fn new_store(folder: &Path) -> Store {
    Store::open(&folder.join("store.db")).await.unwrap()
}

#[tokio::test]
async fn every_column_has_its_place_in_the_dictionary_and_none_is_there_without_being() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path()).await;
    let differing = "
        with found (relation, position, column_name) as (
            select t.name, c.cid + 1, c.name from sqlite_schema as t, pragma_table_info(t.name) as c
            where t.type in ('table', 'view') and t.name not like 'sqlite_%'
        ), told as (select relation, position, column_name from dictionary where position > 0)
        select 'not in the dictionary', * from (select * from found except select * from told)
        union all
        select 'not in the store', * from (select * from told except select * from found)
        union all
        select 'without a row of its own', relation, 0, null from found
        where relation not in (select relation from dictionary where position = 0 and meaning > '')";
    let differing = query(&folder.path().join("store.db"), differing).await.unwrap().rows;
    assert!(differing.is_empty(), "a migration adds or lacks rows of `dictionary`: {differing:?}");
    store.close().await;
}

#[tokio::test]
async fn the_page_is_what_the_dictionary_says() {
    let folder = tempfile::tempdir().unwrap();
    let relations = new_store(folder.path()).await.dictionary().await.unwrap();
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, _) = page.split_once(MARK).expect("docs/store.md has lost its mark");
    let written = format!("{head}{MARK}{}", markdown(&relations));
    if std::env::var_os("ISOFLOP_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, written).unwrap();
    } else {
        assert!(page == written, "docs/store.md is not what the migrations say: `make docs`");
    }
}

fn markdown(relations: &[Relation]) -> String {
    let mut text = String::new();
    for Relation { name, is_view, meaning, columns } in relations {
        let kind = if *is_view { "View" } else { "Table" };
        write!(text, "\n## {kind} `{name}`\n\n{}\n", wrapped(meaning)).unwrap();
        text.push_str("| column | unit | meaning |\n|---|---|---|\n");
        for Described { name, unit, meaning } in columns {
            let cell = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
            let row = format!("| `{name}` | {} | {} |\n", cell(unit), cell(meaning));
            text.push_str(&row.replace("|  |", "| |"));
        }
    }
    text
}

fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let starts_line = width + word.chars().count() > 115;
        lines.push_str(if starts_line {
            "\n"
        } else if width > 0 {
            " "
        } else {
            ""
        });
        width = if starts_line { 0 } else { width + 1 } + word.chars().count();
        lines.push_str(word);
    }
    lines + "\n"
}
