//! Several segments on one GPU. A small model leaves most of a GPU idle, so segments share one: as many
//! as its memory holds, and as long as one more is worth it. Pure; all it knows is what trainers report.
//!
//! A workload's *width* is how many of its segments fill a device: one, until more are seen to be worth
//! it. While a device executes just that many and nothing else, their rates are added up; then one more
//! is tried. Different workloads share a device by the widths that are known of them.

use std::collections::{BTreeMap, HashMap};

use spec::Id;

/// A slot on a device that others may be on as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    pub device: usize,
    /// All memory of the device; nothing shares it where that is not known.
    pub device_bytes: Option<u64>,
}

/// Who shares a device with whom. By default every slot has one of its own.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// By slot.
    occupants: BTreeMap<usize, Occupant>,
    /// What segments are expected to hold, until one has finished.
    expected_bytes: HashMap<Id, u64>,
    packings: HashMap<Id, Packing>,
}

/// A segment on a lane.
#[derive(Clone, Copy, Debug)]
struct Occupant {
    workload: Id,
    heard: Heard,
    /// How many of its workload could be together when the device last got one more; None of one that
    /// has always been alone.
    shared: Option<u32>,
}

/// When a segment last reported its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Never,
    /// In other company than it has now, or before all of it had begun to train.
    Before,
    Now,
}

/// What is known of a workload's segments side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Packing {
    width: u32,
    /// Examples a second of `width` segments together; None until one alone is measured.
    rate: Option<f64>,
    /// One more has been tried, and it was not worth it, or memory ran out.
    is_settled: bool,
    peak_bytes: Option<u64>,
    /// Reports at the width that is tried, and seconds that an example took in each, added up.
    n_reports: u32,
    seconds: f64,
}

/// What one more segment must make of the rate of all.
const GAIN: f64 = 1.1;

/// Reports of each segment, before their rate is believed.
const REPORTS: u32 = 3;

/// Share of a device's memory for segments; idle trainers hold some as well.
const FILL: f64 = 0.9;

/// What a trainer holds on a GPU beside its tensors: CUDA's context and kernels.
const CONTEXT_BYTES: u64 = 512 << 20;

impl Lanes {
    /// `lanes` are those of all slots. `expected_bytes`: the most that a segment holds at once, by
    /// workload.
    pub fn new(lanes: Vec<Lane>, expected_bytes: HashMap<Id, u64>) -> Self {
        Self { lanes, expected_bytes, ..Self::default() }
    }

    /// Of idle slots that can take a segment, the first on the emptiest device.
    pub(crate) fn choose(
        &self,
        mut idle: impl Iterator<Item = usize>,
        workload: Id,
    ) -> Option<usize> {
        if self.lanes.is_empty() {
            return idle.next();
        }
        idle.filter(|slot| self.admits(*slot, workload))
            .min_by_key(|slot| self.company(*slot).len())
    }

    /// A segment begins on an idle slot.
    pub(crate) fn launch(&mut self, slot: usize, workload: Id) {
        if slot >= self.lanes.len() {
            return;
        }
        self.occupants.insert(slot, Occupant { workload, heard: Heard::Never, shared: None });
        self.disturb(slot);
        let company = self.company(slot);
        for slot in company.iter().filter(|_| company.len() > 1) {
            if let Some(occupant) = self.occupants.get_mut(slot) {
                occupant.shared = Some(packing(&self.packings, occupant.workload).most());
            }
        }
    }

    /// A slot's segment tells how many examples it trains on in a second.
    pub(crate) fn report(&mut self, slot: usize, examples_per_s: f64) {
        let Some(&Occupant { workload, heard, .. }) = self.occupants.get(&slot) else { return };
        let company = self.company(slot);
        let mut others = company.iter().filter(|other| **other != slot);
        let has_begun = others.all(|other| self.occupants[other].heard != Heard::Never);
        let is_alike = company.iter().all(|slot| self.occupants[slot].workload == workload);
        if has_begun && is_alike && heard == Heard::Now {
            self.packings.entry(workload).or_default().report(company.len(), examples_per_s);
        }
        if let Some(occupant) = self.occupants.get_mut(&slot) {
            occupant.heard = if has_begun { Heard::Now } else { Heard::Before };
        }
    }

    /// A segment has ended.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.disturb(slot);
        self.occupants.remove(&slot);
    }

    /// What a segment held at most that has finished.
    pub(crate) fn learn_peak(&mut self, workload: Id, bytes: u64) {
        let peak = &mut self.packings.entry(workload).or_default().peak_bytes;
        *peak = Some(peak.map_or(bytes, |peak| peak.max(bytes)));
    }

    /// Memory runs out for a slot's segment. Whether that may be for its company: then it has less from
    /// now on.
    pub(crate) fn make_room(&mut self, slot: usize) -> bool {
        let Some(&Occupant { workload, shared: Some(most), .. }) = self.occupants.get(&slot) else {
            return false;
        };
        self.packings.entry(workload).or_default().shrink(most - 1);
        true
    }

    fn admits(&self, slot: usize, workload: Id) -> bool {
        let company = self.company(slot);
        if company.is_empty() {
            return true;
        }
        let all: Vec<Id> =
            company.iter().map(|slot| self.occupants[slot].workload).chain([workload]).collect();
        self.are_worth_it(&all) && self.fit(&all, self.lanes[slot].device_bytes)
    }

    fn are_worth_it(&self, workloads: &[Id]) -> bool {
        if workloads.iter().all(|workload| *workload == workloads[0]) {
            return workloads.len() <= packing(&self.packings, workloads[0]).most() as usize;
        }
        let share = |workload: &Id| 1.0 / f64::from(packing(&self.packings, *workload).width);
        let filled: f64 = workloads.iter().map(share).sum();
        // Three thirds are one, to rounding.
        filled < 1.0 + 1e-6
    }

    fn fit(&self, workloads: &[Id], device_bytes: Option<u64>) -> bool {
        let bytes: Option<u64> = workloads.iter().map(|workload| self.bytes(*workload)).sum();
        match (bytes, device_bytes) {
            (Some(bytes), Some(all)) => bytes as f64 <= FILL * all as f64,
            (None, _) | (_, None) => false,
        }
    }

    fn bytes(&self, workload: Id) -> Option<u64> {
        let expected = self.expected_bytes.get(&workload).copied();
        Some(packing(&self.packings, workload).peak_bytes.or(expected)? + CONTEXT_BYTES)
    }

    /// Slots on the device of this one that execute something.
    fn company(&self, slot: usize) -> Vec<usize> {
        let device = |slot: usize| self.lanes.get(slot).map(|lane| lane.device);
        self.occupants.keys().copied().filter(|other| device(*other) == device(slot)).collect()
    }

    /// What was reported on the device of this slot was in other company.
    fn disturb(&mut self, slot: usize) {
        for slot in self.company(slot) {
            if let Some(Occupant { heard: heard @ Heard::Now, .. }) = self.occupants.get_mut(&slot)
            {
                *heard = Heard::Before;
            }
        }
    }
}

fn packing(packings: &HashMap<Id, Packing>, workload: Id) -> Packing {
    packings.get(&workload).copied().unwrap_or_default()
}

impl Default for Packing {
    fn default() -> Self {
        let (rate, peak_bytes) = (None, None);
        Self { width: 1, rate, is_settled: false, peak_bytes, n_reports: 0, seconds: 0.0 }
    }
}

impl Packing {
    /// How many may be together and nothing else with them: where this is more than the width, it is
    /// being tried.
    const fn most(&self) -> u32 {
        if self.is_settled || self.rate.is_none() { self.width } else { self.width + 1 }
    }

    /// One of `n` segments that have a device to themselves reports its rate.
    fn report(&mut self, n: usize, examples_per_s: f64) {
        let most = self.most();
        if self.is_settled || n != most as usize || !examples_per_s.is_normal() {
            return;
        }
        self.n_reports += 1;
        self.seconds += 1.0 / examples_per_s;
        if self.n_reports >= REPORTS * most {
            let rate = f64::from(most * self.n_reports) / self.seconds;
            (self.n_reports, self.seconds) = (0, 0.0);
            self.judge(most, rate);
        }
    }

    fn judge(&mut self, n: u32, rate: f64) {
        match self.rate {
            Some(before) if rate < GAIN * before => self.is_settled = true,
            Some(_) | None => (self.width, self.rate) = (n, Some(rate)),
        }
    }

    /// No more than `n` together.
    fn shrink(&mut self, n: u32) {
        if n < self.most() {
            self.width = self.width.min(n).max(1);
            self.is_settled = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn workload(n: u32) -> Id {
        Id::of(&n)
    }

    /// GPUs of 16 GiB with 8 lanes each.
    fn gpus(n: usize, gib: &[u64]) -> Lanes {
        let lane = |slot| Lane { device: slot / 8, device_bytes: Some(16 * GIB) };
        let expected = (0..).map(workload).zip(gib.iter().map(|gib| gib * GIB));
        Lanes::new((0..8 * n).map(lane).collect(), expected.collect())
    }

    /// Launches as many segments of a workload as are admitted.
    fn fill(lanes: &mut Lanes, workload: Id) {
        let idle = |lanes: &Lanes| {
            let n = lanes.lanes.len();
            let taken: Vec<_> = lanes.occupants.keys().copied().collect();
            (0..n).filter(move |slot| !taken.contains(slot))
        };
        while let Some(slot) = lanes.choose(idle(lanes), workload) {
            lanes.launch(slot, workload);
        }
    }

    /// Everybody on the first device reports, where so many segments together have these rates.
    fn report(lanes: &mut Lanes, rates: &[f64]) {
        let company = lanes.company(0);
        for slot in &company {
            lanes.report(*slot, rates[company.len() - 1] / company.len() as f64);
        }
    }

    /// Lets a GPU fill up by what it learns.
    fn settle(lanes: &mut Lanes, workload: Id, rates: &[f64]) {
        for _ in 0..50 {
            fill(lanes, workload);
            report(lanes, rates);
        }
    }

    fn width(lanes: &Lanes, workload: Id) -> u32 {
        packing(&lanes.packings, workload).width
    }

    const SATURATING: [f64; 8] = [1.0, 1.9, 2.6, 2.7, 2.7, 2.7, 2.7, 2.7];

    #[test]
    fn a_gpu_takes_segments_as_long_as_one_more_is_worth_it() {
        for (rates, expected) in [
            (SATURATING, 3),
            ([1.0; 8], 1),
            ([1.0, 1.05, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 1),
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 8),
        ] {
            let mut lanes = gpus(1, &[1]);
            settle(&mut lanes, workload(0), &rates);
            assert_eq!(width(&lanes, workload(0)), expected, "{rates:?}");
            // The one that was tried leaves, and no other comes.
            (expected as usize..8).for_each(|slot| lanes.leave(slot));
            fill(&mut lanes, workload(0));
            assert_eq!(lanes.occupants.len(), expected as usize, "{rates:?}");
        }
    }

    #[test]
    fn a_rate_counts_when_everybody_has_begun_and_nobody_has_come_or_gone_since_the_report_before()
    {
        let mut lanes = gpus(1, &[1]);
        while lanes.occupants.len() < 3 {
            fill(&mut lanes, workload(0));
            report(&mut lanes, &SATURATING);
        }
        let before = lanes.packings[&workload(0)];
        for _ in 0..20 {
            // The third is replaced before it reports: the others would seem to be as fast as ever.
            lanes.report(0, 1.0);
            lanes.report(1, 1.0);
            lanes.leave(2);
            lanes.report(0, 1.0);
            lanes.launch(2, workload(0));
        }
        assert_eq!(lanes.packings[&workload(0)], before);
    }

    #[test]
    fn memory_limits_what_rates_allow() {
        let rates = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        // 0.9 x 16 GiB hold three times 4 GiB and their contexts.
        let mut lanes = gpus(1, &[4]);
        settle(&mut lanes, workload(0), &rates);
        assert_eq!(lanes.occupants.len(), 3);
        // It was less than expected.
        lanes.learn_peak(workload(0), 2 * GIB);
        settle(&mut lanes, workload(0), &rates);
        assert_eq!(lanes.occupants.len(), 5);
        let mut unknown = gpus(1, &[]);
        settle(&mut unknown, workload(0), &rates);
        assert_eq!(unknown.occupants.len(), 1);
    }

    #[test]
    fn workloads_share_a_gpu_by_their_widths_and_one_that_is_new_has_it_alone() {
        let mut lanes = gpus(1, &[1, 1]);
        for known in [workload(0), workload(1)] {
            settle(&mut lanes, known, &SATURATING);
            lanes.occupants.clear();
        }
        lanes.launch(0, workload(0));
        assert!(!lanes.admits(1, workload(2)));
        fill(&mut lanes, workload(1));
        assert_eq!(lanes.occupants.len(), 3);
        lanes.occupants.clear();
        lanes.launch(0, workload(2));
        fill(&mut lanes, workload(1));
        assert_eq!(lanes.occupants.len(), 1);
    }

    #[test]
    fn the_emptiest_gpu_is_next() {
        let mut lanes = gpus(2, &[1]);
        settle(&mut lanes, workload(0), &SATURATING);
        lanes.occupants.clear();
        let next = |lanes: &Lanes, idle: &[usize]| lanes.choose(idle.iter().copied(), workload(0));
        lanes.launch(1, workload(0));
        assert_eq!(next(&lanes, &[0, 2, 8, 9]), Some(8));
        lanes.launch(8, workload(0));
        assert_eq!(next(&lanes, &[0, 2, 9]), Some(0));
    }

    #[test]
    fn memory_that_runs_out_in_company_costs_one_place_however_many_it_hits() {
        let mut lanes = gpus(1, &[1]);
        settle(&mut lanes, workload(0), &[1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!((width(&lanes, workload(0)), lanes.occupants.len()), (4, 5));
        // Two of five: the fifth, which was tried, was one too many.
        for slot in [4, 3] {
            assert!(lanes.make_room(slot));
            lanes.leave(slot);
        }
        assert_eq!(width(&lanes, workload(0)), 4);
        for expected in [3, 2, 1] {
            fill(&mut lanes, workload(0));
            assert!(lanes.make_room(0));
            lanes.occupants.clear();
            assert_eq!(width(&lanes, workload(0)), expected);
        }
        fill(&mut lanes, workload(0));
        assert_eq!(lanes.occupants.len(), 1);
        assert!(!lanes.make_room(0), "alone, it needs smaller passes");
    }

    #[test]
    fn slots_that_share_nothing_take_whatever_comes() {
        let mut lanes = Lanes::default();
        for slot in 0..3 {
            assert_eq!(lanes.choose(slot.., workload(0)), Some(slot));
            lanes.launch(slot, workload(0));
            lanes.report(slot, 1.0);
            assert!(!lanes.make_room(slot));
        }
        lanes.leave(1);
        assert!(lanes.occupants.is_empty());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Launch { workload: u32 },
        Report { slot: usize, rate: f64 },
        Leave { slot: usize },
        OutOfMemory { slot: usize },
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u32..4).prop_map(|workload| Step::Launch { workload }),
            12 => (0_usize..16, 1.0..3.0).prop_map(|(slot, rate)| Step::Report { slot, rate }),
            2 => (0_usize..16).prop_map(|slot| Step::Leave { slot }),
            1 => (0_usize..16).prop_map(|slot| Step::OutOfMemory { slot }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_admitted_together_fits_and_nobody_waits_for_an_empty_gpu(
            gib in proptest::collection::vec(0_u64..6, 4),
            steps in proptest::collection::vec(any_step(), 0..400),
        ) {
            let mut lanes = gpus(2, &gib);
            for step in steps {
                match step {
                    Step::Launch { workload: n } => {
                        let taken: Vec<_> = lanes.occupants.keys().copied().collect();
                        let idle = (0..16).filter(|slot| !taken.contains(slot));
                        match lanes.choose(idle, workload(n)) {
                            Some(slot) => lanes.launch(slot, workload(n)),
                            None => prop_assert!([0, 8].iter().all(|slot| !lanes.company(*slot).is_empty())),
                        }
                    }
                    Step::Report { slot, rate } => lanes.report(slot, rate),
                    Step::Leave { slot } => lanes.leave(slot),
                    Step::OutOfMemory { slot } => {
                        let is_shared = lanes.occupants.contains_key(&slot) && lanes.company(slot).len() > 1;
                        prop_assert!(lanes.make_room(slot) || !is_shared);
                        lanes.leave(slot);
                    }
                }
                for device in [0, 8] {
                    let company = lanes.company(device);
                    let held: u64 = company.iter().map(|slot| lanes.bytes(lanes.occupants[slot].workload).unwrap()).sum();
                    prop_assert!(company.len() < 2 || held as f64 <= 0.9 * (16 * GIB) as f64, "{held}");
                }
            }
        }
    }
}
