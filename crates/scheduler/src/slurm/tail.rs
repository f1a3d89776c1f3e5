//! Following the events that an attempt writes into its own folder.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use spec::{LineError, Order, SegmentId, TrainerEvent, TrainerLine};

use crate::engine::Said;

/// One attempt's `events.jsonl`, read from where it was read before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tail {
    pub segment_id: SegmentId,
    pub attempt: u32,
    folder: PathBuf,
    /// Bytes that have been read: complete lines.
    offset: u64,
    end: Option<End>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Otherwise,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TailError {
    #[error("cannot read `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("`{path}`: {error}")]
    Line { path: PathBuf, error: LineError },
}

impl Tail {
    pub(super) fn of(order: &Order) -> Self {
        let Order { segment_id, attempt, attempt_dir, .. } = order;
        Self::from(*segment_id, *attempt, attempt_dir.clone(), 0)
    }

    /// Of an attempt's folder, where the first `offset` bytes of events are known already.
    pub(super) const fn from(
        segment_id: SegmentId,
        attempt: u32,
        folder: PathBuf,
        offset: u64,
    ) -> Self {
        Self { segment_id, attempt, folder, offset, end: None }
    }

    /// How the attempt ended; None while its last event has not been read.
    pub(super) const fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether it has written anything.
    pub(super) const fn has_begun(&self) -> bool {
        self.offset > 0
    }

    /// What it has said since; a line that is not complete yet is left for later.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is no event: whatever is before it is said again the
    /// next time.
    pub(super) fn read(&mut self) -> Result<Vec<Said>, TailError> {
        if self.end.is_some() {
            return Ok(Vec::new());
        }
        let path = self.folder.join("events.jsonl");
        let text = match read_from(&path, self.offset) {
            Ok(text) => text,
            // It has not begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TailError::Read { path, error }),
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut said = Vec::new();
        for line in complete.lines() {
            match TrainerLine::parse(line) {
                Ok(TrainerLine::Event { event, .. }) => said.push(self.said(event)),
                Ok(TrainerLine::Ready(_)) => {}
                Err(error) => return Err(TailError::Line { path, error }),
            }
        }
        self.offset += complete.len() as u64;
        self.end = said.iter().find_map(|said| end_of(&said.event));
        Ok(said)
    }

    const fn said(&self, event: TrainerEvent) -> Said {
        Said { segment_id: self.segment_id, attempt: self.attempt, event }
    }
}

fn end_of(event: &TrainerEvent) -> Option<End> {
    match event {
        TrainerEvent::Finished { .. } => Some(End::Finished),
        _ if event.is_last() => Some(End::Otherwise),
        _ => None,
    }
}

/// Opened anew each time: that is when a network file system looks for what others have written.
fn read_from(path: &std::path::Path, offset: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // A character may be cut where the line is; complete lines are whole.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use spec::{FORMAT, Id, Spent};

    use super::*;

    fn line(event: TrainerEvent) -> String {
        let segment_id = SegmentId(Id::of(&1));
        let line = TrainerLine::Event { format: FORMAT, segment_id, attempt: 2, event };
        serde_json::to_string(&line).unwrap() + "\n"
    }

    #[test]
    fn events_are_read_once_each_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::from(SegmentId(Id::of(&1)), 2, folder.path().to_owned(), 0);
        assert!(tail.read().unwrap().is_empty(), "it has not begun");
        let mut file = File::create(folder.path().join("events.jsonl")).unwrap();
        let (started, finished) = (
            line(TrainerEvent::Started { step: 0 }),
            line(TrainerEvent::Finished { step: 9, spent: Spent::default() }),
        );
        let (half, rest) = finished.split_at(20);
        write!(file, "{started}{half}").unwrap();
        assert_eq!(tail.read().unwrap().len(), 1);
        assert!(tail.read().unwrap().is_empty() && tail.end().is_none());
        write!(file, "{rest}").unwrap();
        assert_eq!(tail.read().unwrap().len(), 1);
        assert_eq!(tail.end(), Some(End::Finished));

        let known = started.len() as u64;
        let mut again = Tail::from(SegmentId(Id::of(&1)), 2, folder.path().to_owned(), known);
        assert_eq!(again.read().unwrap().len(), 1);
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), "{}\n").unwrap();
        let mut tail = Tail::from(SegmentId(Id::of(&1)), 2, folder.path().to_owned(), 0);
        assert!(tail.read().unwrap_err().to_string().contains("events.jsonl"));
    }
}
