//! The streaming feed: threads prepare training batches ahead of the trainer, in order. Batches are
//! exactly those of [`crate::order`] and [`crate::augment`]; how many threads there are changes
//! nothing but the time.

use std::iter::StepBy;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use spec::Augmentation;

use crate::source::{DataError, Source, Split};
use crate::{augment, order};

/// What is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// The trial's seed.
    pub seed: u64,
    /// n: the first n examples of the train stream.
    pub unique_examples: u64,
    pub batch: u32,
    pub augmentation: Augmentation,
}

/// The examples of one training step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `[batch, 3, resolution, resolution]`.
    pub pixels: Vec<u8>,
    /// `[batch]`; i64 is what libtorch's losses take.
    pub labels: Vec<i64>,
}

/// An iterator over the batches of some steps, ended by the first error. Dropping it ends its threads.
pub struct Stream {
    /// Lane k of m prepares steps k, k + m, k + 2m, .. of the range.
    lanes: Vec<Lane>,
    /// Lane of the next batch.
    next: usize,
    /// Lane that the next used batch goes back to.
    next_recycled: usize,
}

/// The consumer's ends of one thread.
struct Lane {
    ready: Receiver<Result<Batch, DataError>>,
    used: Sender<Batch>,
    thread: JoinHandle<()>,
}

/// What a lane's thread works with.
struct Worker {
    source: Arc<dyn Source>,
    spec: StreamSpec,
    /// One image before augmentation.
    image: Vec<u8>,
}

/// Finished batches that may wait in each lane, beside the one in the making.
const WAITING: usize = 2;

impl Stream {
    /// Starts `threads` threads (at least one) on the batches of `steps`.
    pub fn start(
        source: &Arc<dyn Source>,
        spec: StreamSpec,
        steps: &Range<u64>,
        threads: usize,
    ) -> Self {
        let threads = threads.max(1);
        let lane = |first: u64| Lane::start(source, spec, (first..steps.end).step_by(threads));
        Self { lanes: (steps.start..).take(threads).map(lane).collect(), next: 0, next_recycled: 0 }
    }

    /// Gives a batch's memory back, to be filled again.
    pub fn recycle(&mut self, batch: Batch) {
        if let Some(lane) = self.lanes.get(self.next_recycled) {
            // A thread that has ended needs no memory.
            let _ended = lane.used.send(batch);
            self.next_recycled = (self.next_recycled + 1) % self.lanes.len();
        }
    }

    fn stop(&mut self) {
        let threads: Vec<_> = self.lanes.drain(..).map(|lane| lane.thread).collect();
        for thread in threads {
            // A panic is an error of this crate and must not look like the end of the data; while
            // another one unwinds, that one is enough.
            if let Err(panic) = thread.join()
                && !thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Iterator for Stream {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.lanes.get(self.next)?.ready.recv() {
            Ok(Ok(batch)) => {
                self.next = (self.next + 1) % self.lanes.len();
                Some(Ok(batch))
            }
            Ok(Err(error)) => {
                self.stop();
                Some(Err(error))
            }
            Err(_) => {
                self.stop();
                None
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Lane {
    fn start(source: &Arc<dyn Source>, spec: StreamSpec, steps: StepBy<Range<u64>>) -> Self {
        let (to_consumer, ready) = sync_channel(WAITING);
        let (used, from_consumer) = channel();
        let image = vec![0; source.image_bytes()];
        let worker = Worker { source: Arc::clone(source), spec, image };
        let thread = thread::spawn(move || worker.work(steps, &to_consumer, &from_consumer));
        Self { ready, used, thread }
    }
}

impl Worker {
    fn work(
        mut self,
        steps: StepBy<Range<u64>>,
        ready: &SyncSender<Result<Batch, DataError>>,
        used: &Receiver<Batch>,
    ) {
        for step in steps {
            let batch = self.prepare(step, used.try_recv().unwrap_or_default());
            let is_last = batch.is_err();
            if ready.send(batch).is_err() || is_last {
                return;
            }
        }
    }

    fn prepare(&mut self, step: u64, mut batch: Batch) -> Result<Batch, DataError> {
        let StreamSpec { seed, unique_examples, batch: size, augmentation } = self.spec;
        batch.labels.clear();
        batch.pixels.resize(size as usize * self.image.len(), 0);
        let draws = order::batch(seed, unique_examples, size, step);
        for (draw, out) in draws.into_iter().zip(batch.pixels.chunks_exact_mut(self.image.len())) {
            let class = self.source.read(Split::Train, draw.index, &mut self.image)?;
            let crop = augment::plan(seed, augmentation, draw);
            augment::apply(&crop, self.source.resolution(), &self.image, out);
            batch.labels.push(class.into());
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use spec::Id;

    use super::*;

    /// Pixels and class say the index; one index may be made unreadable.
    struct Numbered {
        broken: Option<u64>,
    }

    impl Source for Numbered {
        fn resolution(&self) -> u32 {
            2
        }

        fn classes(&self) -> u32 {
            1000
        }

        fn len(&self, _split: Split) -> Option<u64> {
            Some(100)
        }

        fn flips(&self) -> bool {
            true
        }

        fn fingerprint(&self) -> Id {
            Id::of(&"numbered")
        }

        fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError> {
            if self.broken == Some(index) {
                return Err(DataError::OutOfRange { split, index, len: 100 });
            }
            (0..)
                .zip(pixels.iter_mut())
                .for_each(|(at, pixel): (u8, _)| *pixel = at + u8::try_from(index).unwrap());
            Ok(u32::try_from(index).unwrap())
        }
    }

    const SPEC: StreamSpec = StreamSpec {
        seed: 4,
        unique_examples: 50,
        batch: 7,
        augmentation: Augmentation { flip: true, crop_padding: 1 },
    };

    fn expected(step: u64) -> Batch {
        let mut batch = Batch::default();
        for draw in order::batch(SPEC.seed, SPEC.unique_examples, SPEC.batch, step) {
            let (mut image, mut out) = ([0; 12], [0; 12]);
            let class =
                Numbered { broken: None }.read(Split::Train, draw.index, &mut image).unwrap();
            augment::apply(&augment::plan(SPEC.seed, SPEC.augmentation, draw), 2, &image, &mut out);
            batch.pixels.extend(out);
            batch.labels.push(class.into());
        }
        batch
    }

    fn start(broken: Option<u64>, steps: Range<u64>, threads: usize) -> Stream {
        let source: Arc<dyn Source> = Arc::new(Numbered { broken });
        Stream::start(&source, SPEC, &steps, threads)
    }

    #[test]
    fn any_number_of_threads_gives_the_same_batches_in_order() {
        for threads in [1, 2, 3, 20] {
            let mut stream = start(None, 5..17, threads);
            for step in 5..17 {
                let batch = stream.next().unwrap().unwrap();
                assert_eq!(batch, expected(step), "{threads} threads, step {step}");
                stream.recycle(batch);
            }
            assert!(stream.next().is_none());
        }
    }

    #[test]
    fn an_unreadable_example_ends_the_stream_with_its_name() {
        let mut stream = start(Some(3), 0..100, 2);
        let error = stream.find_map(Result::err).expect("50 examples are read in 8 steps");
        assert!(matches!(error, DataError::OutOfRange { index: 3, .. }), "{error}");
        assert!(stream.next().is_none());
        stream.recycle(Batch::default());
    }

    #[test]
    fn dropping_a_stream_ends_its_threads() {
        let source: Arc<dyn Source> = Arc::new(Numbered { broken: None });
        let mut stream = Stream::start(&source, SPEC, &(0..u64::MAX), 3);
        stream.next().unwrap().unwrap();
        drop(stream);
        assert_eq!(Arc::strong_count(&source), 1);
    }
}
