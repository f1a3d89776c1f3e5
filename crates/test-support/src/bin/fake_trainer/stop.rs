//! What the outside asks for while a segment is worked on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGTERM, SIGUSR1};
use signal_hook::flag::register;
use spec::{Spent, TrainerEvent};

/// How long a signal may go unseen.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Standard input has ended.
    pub closed: Arc<AtomicBool>,
    /// TERM came.
    pub term: Arc<AtomicBool>,
    /// USR1 came.
    pub pause: Arc<AtomicBool>,
}

impl Stop {
    /// USR1 is seen where `pauses`, and ends the process otherwise.
    pub fn listen(pauses: bool) -> io::Result<Self> {
        let stop = Self::default();
        register(SIGTERM, stop.term.clone())?;
        if pauses {
            register(SIGUSR1, stop.pause.clone())?;
        }
        Ok(stop)
    }

    pub fn is_term(&self) -> bool {
        self.term.load(Ordering::Relaxed)
    }

    pub fn is_pause(&self) -> bool {
        self.pause.load(Ordering::Relaxed)
    }

    fn is_requested(&self) -> bool {
        self.is_term() || self.is_pause() || self.closed.load(Ordering::Relaxed)
    }

    /// Sleeps; false where a stop is requested before or meanwhile.
    pub fn sleep(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.is_requested() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(LOOK));
        }
        false
    }

    /// Says nothing more until TERM ends the process.
    pub fn hang(&self) -> io::Result<()> {
        while !self.is_term() {
            thread::sleep(LOOK);
        }
        signal_hook::low_level::emulate_default_handler(SIGTERM)
    }

    /// What an attempt says that stops at `step`.
    pub fn event(&self, step: u64, spent: Spent) -> TrainerEvent {
        match self.is_pause() && !self.is_term() {
            true => TrainerEvent::Paused { step, spent },
            false => TrainerEvent::Interrupted { step, spent },
        }
    }
}
