//! Where a segment's events go: standard output, and the attempt's `events.jsonl`; the last one also
//! into `exit.json`, for readers that were not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use spec::{FORMAT, Order, SegmentId, TrainerEvent, TrainerLine};

use crate::checkpoint::write_flushed;

/// The event log of one attempt.
pub(crate) struct Record<'a> {
    out: &'a mut dyn Write,
    file: File,
    folder: PathBuf,
    segment_id: SegmentId,
    attempt: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("cannot write events to `{path}`: {error}")]
    Write { path: PathBuf, error: io::Error },
}

impl<'a> Record<'a> {
    /// Opens the log that `order` names; an earlier log of the same attempt is continued, without a last line
    /// that was cut.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn open(order: &Order, out: &'a mut dyn Write) -> Result<Self, RecordError> {
        let folder = order.attempt_dir.clone();
        let path = folder.join("events.jsonl");
        let open = || {
            fs::create_dir_all(&folder)?;
            let file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            cut_torn_line(&file)?;
            Ok(file)
        };
        let file = open().map_err(|error| RecordError::Write { path: path.clone(), error })?;
        Ok(Self { out, file, folder, segment_id: order.segment_id, attempt: order.attempt })
    }

    /// # Errors
    /// A file that cannot be written. A closed standard output is none: whoever read it is gone, the
    /// files remain, and the end of standard input is what ends the trainer.
    pub(crate) fn write(&mut self, event: TrainerEvent) -> Result<(), RecordError> {
        let is_last = event.is_last();
        let text = line(self.segment_id, self.attempt, event);
        let failed = |path: PathBuf| move |error| RecordError::Write { path, error };
        self.file.write_all(text.as_bytes()).map_err(failed(self.folder.join("events.jsonl")))?;
        if is_last {
            let (path, partial) = (self.folder.join("exit.json"), self.folder.join(".exit.json"));
            let publish = || {
                self.file.sync_data()?;
                write_flushed(&partial, text.as_bytes())?;
                fs::rename(&partial, &path)
            };
            publish().map_err(failed(path.clone()))?;
        }
        tell(self.out, &text);
        Ok(())
    }
}

/// A crash, or a full disk, leaves a line without its end; what follows must not be read with it.
fn cut_torn_line(mut file: &File) -> io::Result<()> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if whole < text.len() { file.set_len(whole as u64) } else { Ok(()) }
}

/// An event on `out` alone, for an attempt whose folder cannot be written.
pub(crate) fn write_without_files(order: &Order, out: &mut dyn Write, event: TrainerEvent) {
    tell(out, &line(order.segment_id, order.attempt, event));
}

fn line(segment_id: SegmentId, attempt: u32, event: TrainerEvent) -> String {
    let line = TrainerLine::Event { format: FORMAT, segment_id, attempt, event };
    let text = serde_json::to_string(&line).expect("events are plain data with string keys");
    text + "\n"
}

fn tell(out: &mut dyn Write, text: &str) {
    let _reader_is_gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
