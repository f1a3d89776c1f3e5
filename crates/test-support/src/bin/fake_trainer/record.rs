//! An attempt's files, and the segment's: events, exit record, log, fence, checkpoints.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use spec::{FORMAT, Order, TrainerEvent, TrainerLine};

/// Where an attempt's events go.
pub struct Record<'a> {
    order: &'a Order,
    events: File,
}

impl<'a> Record<'a> {
    pub fn open(order: &'a Order) -> io::Result<Self> {
        fs::create_dir_all(&order.attempt_dir)?;
        let Order { segment_id, attempt, .. } = order;
        let mut log = appended(&order.attempt_dir.join("log.txt"))?;
        log.write_all(format!("segment {segment_id}, attempt {attempt}: fake\n").as_bytes())?;
        Ok(Self { order, events: appended(&order.attempt_dir.join("events.jsonl"))? })
    }

    /// One line to the coordinator and to the attempt's own files, as a real trainer does.
    pub fn tell(&mut self, event: TrainerEvent) -> io::Result<()> {
        let Order { segment_id, attempt, attempt_dir, .. } = self.order;
        let is_last = event.is_last();
        let line = TrainerLine::Event {
            format: FORMAT,
            segment_id: *segment_id,
            attempt: *attempt,
            event,
        };
        let text = serde_json::to_string(&line)? + "\n";
        self.events.write_all(text.as_bytes())?;
        if is_last {
            let partial = attempt_dir.join(".exit.json");
            fs::write(&partial, &text)?;
            fs::rename(partial, attempt_dir.join("exit.json"))?;
        }
        write(&text)
    }
}

fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

pub fn say(line: &TrainerLine) -> io::Result<()> {
    write(&(serde_json::to_string(line)? + "\n"))
}

/// Who reads may be gone: what is in files stays.
fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(())
}

/// Whether no newer attempt has begun; an older one will see that this one has.
pub fn holds_fence(order: &Order) -> io::Result<bool> {
    let path = order.checkpoints.join("fence");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let newest: u32 = text.trim().parse().unwrap_or(0);
    if newest < order.attempt {
        fs::create_dir_all(&order.checkpoints)?;
        let partial = order.checkpoints.join(format!(".fence-{}", order.attempt));
        fs::write(&partial, order.attempt.to_string())?;
        fs::rename(partial, path)?;
    }
    Ok(newest <= order.attempt)
}

/// Step of the newest checkpoint of the segment's own.
pub fn newest_checkpoint(order: &Order) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(&order.checkpoints)? {
        let name = entry?.file_name();
        newest =
            newest.max(name.to_str().and_then(|name| name.strip_prefix("step-")?.parse().ok()));
    }
    Ok(newest)
}

/// Empty, but there: that is all a checkpoint is for here. The one before is removed.
pub fn save(order: &Order, step: u64, before: Option<u64>) -> io::Result<()> {
    let folder = |step| order.checkpoints.join(spec::checkpoint_name(step));
    fs::create_dir_all(folder(step))?;
    match before {
        Some(before) if before < step => fs::remove_dir_all(folder(before)),
        Some(_) | None => Ok(()),
    }
}
