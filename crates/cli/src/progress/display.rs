//! Progress on a terminal: a line per slot, and a bar.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::say;

/// More lines than this leave no room on a terminal.
const MAX_SLOT_LINES: usize = 16;

pub struct Terminal {
    bar: ProgressBar,
    slots: Vec<ProgressBar>,
}

impl Terminal {
    /// `slots` are the names of the slots: `cpu 0`, `cuda:1`.
    pub fn new(slots: &[String]) -> Self {
        let all = MultiProgress::new();
        let width = slots.iter().map(String::len).max().unwrap_or(0);
        let line = |slot: &String| {
            let bar = all.add(ProgressBar::no_length());
            bar.set_style(template("{prefix:.dim}  {wide_msg}"));
            bar.set_prefix(format!("{slot:>width$}"));
            bar
        };
        let slots = slots.iter().take(MAX_SLOT_LINES).map(line).collect();
        let bar = all.add(ProgressBar::new(1000));
        bar.set_style(template("{percent:>3}%  [{bar:30}] {wide_msg}").progress_chars("=> "));
        Self { bar, slots }
    }

    pub fn say_of_slot(&self, slot: usize, text: String) {
        if let Some(line) = self.slots.get(slot) {
            line.set_message(text);
        }
    }

    pub fn show(&self, share: f64, text: String) {
        self.bar.set_position((share * 1000.0) as u64);
        self.bar.set_message(text);
    }

    /// A line above the bars, which stays.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    pub fn clear(&self) {
        self.slots.iter().for_each(ProgressBar::finish_and_clear);
        self.bar.finish_and_clear();
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("the templates here are constants, and valid")
}
