//! Every optimiser against its formulas, written out in f64.

use std::time::Instant;

use models::Parameter;
use spec::{Moment, Shape};
use tch::Device;

use super::*;

const CPU: Device = Device::Cpu;

/// Name, shape, and the axes that Adafactor takes for the largest and the second largest.
type Layout = (&'static str, &'static [i64], Option<(usize, usize)>);

const LAYOUT: [Layout; 8] = [
    ("pos_embed", &[1, 34, 33], Some((1, 2))),
    ("a.weight", &[40, 36], Some((0, 1))),
    ("a.bias", &[40], None),
    ("b.weight", &[33, 2, 35], Some((2, 0))),
    ("c.weight", &[40, 36], Some((0, 1))),
    ("d.weight", &[33, 33], Some((1, 0))),
    ("e.weight", &[3, 31], None),
    ("head.weight", &[7, 36], None),
];

/// One step's decay of a parameter, for a learning rate.
fn decayed(name: &str) -> f64 {
    match name {
        "head.weight" => 0.3,
        name if name.ends_with(".weight") => 0.2,
        _ => 0.0,
    }
}

/// `sin(i + seed)`.
fn parameters(kind: Kind) -> Vec<Parameter> {
    let parameter = |(seed, (name, shape, _)): (usize, &Layout)| {
        let len = shape.iter().product::<i64>();
        let values = (Tensor::arange(len, (Kind::Double, CPU)) + seed as f64).sin();
        Parameter { name: (*name).into(), tensor: values.view(*shape).to_kind(kind) }
    };
    LAYOUT.iter().enumerate().map(parameter).collect()
}

/// `t cos(t (i + 1) / 2)` of every parameter.
fn gradient(flat: &Flat, t: u64) -> Tensor {
    let t = t as f64;
    let one = |span: &crate::flat::Span| {
        let values = Tensor::arange(span.range.end - span.range.start, (Kind::Double, CPU)) + 1.0;
        Some(((values * (0.5 * t)).cos() * t).to_kind(flat.params.kind()))
    };
    flat.gather(&flat.spans.iter().map(one).collect::<Vec<_>>())
}

fn train(optimiser: Optimiser) -> TrainSpec {
    let mut train = test_support::recipe(0).train;
    train.weight_decay = WeightDecay { body: 0.2, head: 0.3, convention: Convention::Rate };
    train.clip = None;
    train.optimiser = optimiser;
    train
}

fn flat(kind: Kind) -> Flat {
    Flat::new(&parameters(kind), &|_| 1.0, CPU)
}

fn host(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape(-1)).unwrap()
}

fn close(left: &[f64], right: &[f64], tolerance: f64) {
    assert_eq!(left.len(), right.len());
    let error = left.iter().zip(right).map(|(l, r)| (l - r).abs()).fold(0.0, f64::max);
    assert!(error <= tolerance, "{error:e} apart");
}

/// Rounded to the nearest bf16, ties to even.
fn bf16(value: f64) -> f64 {
    let bits = (value as f32).to_bits();
    f64::from(f32::from_bits((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff_0000))
}

/// A bf16 moment that takes in a tenth of `update`, as libtorch computes it: in f32.
fn taken_in(moment: f64, update: f64) -> f64 {
    let (moment, update) = (moment as f32, bf16(update) as f32);
    bf16(f64::from(0.1f32.mul_add(update - moment, moment)))
}

/// What is kept of a first moment.
fn kept(moment: Moment, value: f64) -> f64 {
    match moment {
        Moment::F32 => value,
        Moment::Bf16 => bf16(value),
    }
}

/// A direction `u` for each element of the gradient of a parameter, at a step from 1:
/// `p -= learning_rate (u + decay p)`.
trait Formula {
    fn direction(&mut self, layout: &Layout, gradient: &[f64], t: i32) -> Vec<f64>;
}

/// Four steps of an optimiser beside its formula.
fn check<F: Formula>(optimiser: &Optimiser, kind: Kind, formula: impl Fn() -> F, tolerance: f64) {
    let flat = flat(kind);
    let mut update = Update::new(&train(optimiser.clone()), &flat);
    let mut expected: Vec<_> = LAYOUT.iter().map(|_| formula()).zip(parameters(kind)).collect();
    for t in 1..=4 {
        let (gradient, learning_rate) = (gradient(&flat, t), 0.1 / t as f64);
        let gradients = flat.named("", &gradient.copy());
        let _norm = update.apply(&flat, &gradient, t - 1, learning_rate).unwrap();
        for (layout, (formula, parameter)) in LAYOUT.iter().zip(&mut expected) {
            let (_, gradient) = gradients.iter().find(|(name, _)| name == layout.0).unwrap();
            let direction = formula.direction(layout, &host(gradient), i32::try_from(t).unwrap());
            let direction = Tensor::from_slice(&direction).view(layout.1);
            let p = parameter.tensor.to_kind(Kind::Double);
            parameter.tensor = &p - (direction + &p * decayed(layout.0)) * learning_rate;
        }
    }
    for (name, tensor) in flat.named("", &flat.params) {
        let (_, parameter) = expected.iter().find(|(_, p)| p.name == name).unwrap();
        close(&host(&tensor), &host(&parameter.tensor), tolerance);
    }
}

const MOMENTS: [(Kind, Moment, f64); 3] = [
    (Kind::Float, Moment::F32, 2e-6),
    (Kind::Double, Moment::F32, 1e-12),
    (Kind::Double, Moment::Bf16, 1e-12),
];

struct AdamWFormula {
    first_moment: Moment,
    m: Vec<f64>,
    v: Vec<f64>,
}

/// 1711.05101, algorithm 2.
impl Formula for AdamWFormula {
    fn direction(&mut self, _: &Layout, gradient: &[f64], t: i32) -> Vec<f64> {
        self.m.resize(gradient.len(), 0.0);
        self.v.resize(gradient.len(), 0.0);
        let one = |((m, v), g): ((&mut f64, &mut f64), &f64)| {
            let first = 0.9 * *m + 0.1 * g;
            *m = kept(self.first_moment, first);
            *v = 0.95 * *v + 0.05 * g * g;
            (first / (1.0 - 0.9f64.powi(t))) / ((*v / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-8)
        };
        self.m.iter_mut().zip(&mut self.v).zip(gradient).map(one).collect()
    }
}

#[test]
fn adamw_follows_the_paper() {
    for (kind, first_moment, tolerance) in MOMENTS {
        let optimiser = Optimiser::Adamw(spec::AdamW { first_moment, ..Default::default() });
        let formula = || AdamWFormula { first_moment, m: Vec::new(), v: Vec::new() };
        check(&optimiser, kind, formula, tolerance);
    }
}

struct SgdFormula {
    nesterov: bool,
    first_moment: Moment,
    m: Vec<f64>,
}

impl Formula for SgdFormula {
    fn direction(&mut self, _: &Layout, gradient: &[f64], _: i32) -> Vec<f64> {
        self.m.resize(gradient.len(), 0.0);
        let one = |(m, g): (&mut f64, &f64)| {
            let first = 0.9 * *m + g;
            *m = kept(self.first_moment, first);
            if self.nesterov { g + 0.9 * first } else { first }
        };
        self.m.iter_mut().zip(gradient).map(one).collect()
    }
}

#[test]
fn sgd_follows_pytorchs_formula_and_decays_apart() {
    for (kind, first_moment, tolerance) in MOMENTS {
        for nesterov in [false, true] {
            let spec = spec::Sgd { nesterov, first_moment, ..Default::default() };
            let formula = || SgdFormula { nesterov, first_moment, m: Vec::new() };
            check(&Optimiser::Sgd(spec), kind, formula, tolerance);
        }
    }
}

struct AdafactorFormula {
    first_moment: Moment,
    m: Vec<f64>,
    second: Vec<f64>,
    columns: Vec<f64>,
}

/// Means over an axis, and for each element the index of its mean.
fn means(values: &[f64], shape: &[i64], axis: usize) -> (Vec<f64>, Vec<usize>) {
    let size = |range: &[i64]| usize::try_from(range.iter().product::<i64>()).unwrap();
    let (side, inner) = (size(&shape[axis..=axis]), size(&shape[axis + 1..]));
    let index: Vec<_> =
        (0..values.len()).map(|at| at / (side * inner) * inner + at % inner).collect();
    let mut means = vec![0.0; values.len() / side];
    for (value, &at) in values.iter().zip(&index) {
        means[at] += value / side as f64;
    }
    (means, index)
}

fn average(kept: &mut Vec<f64>, new: &[f64], beta: f64) {
    kept.resize(new.len(), 0.0);
    kept.iter_mut().zip(new).for_each(|(kept, new)| *kept = beta * *kept + (1.0 - beta) * new);
}

/// 2106.04560, section 3.4, and 1804.04235, algorithm 4.
impl Formula for AdafactorFormula {
    fn direction(&mut self, layout: &Layout, gradient: &[f64], t: i32) -> Vec<f64> {
        let beta2 = (1.0 - f64::from(t).powf(-0.8)).min(0.6);
        let squares: Vec<_> = gradient.iter().map(|g| g * g + 1e-30).collect();
        let estimate: Vec<f64> = if let (_, shape, Some((largest, second))) = *layout {
            let (rows, row_of) = means(&squares, shape, largest);
            let (columns, column_of) = means(&squares, shape, second);
            average(&mut self.second, &rows, beta2);
            average(&mut self.columns, &columns, beta2);
            let mut row_shape = shape.to_vec();
            row_shape[largest] = 1;
            let (mean, mean_of) = means(&self.second, &row_shape, second);
            let one = |(&row, &column): (&usize, &usize)| {
                self.second[row] * self.columns[column] / mean[mean_of[row]]
            };
            row_of.iter().zip(&column_of).map(one).collect()
        } else {
            average(&mut self.second, &squares, beta2);
            self.second.clone()
        };
        self.m.resize(gradient.len(), 0.0);
        let one = |((m, g), v): ((&mut f64, &f64), f64)| {
            *m = match self.first_moment {
                Moment::F32 => 0.9 * *m + 0.1 * g / v.sqrt(),
                Moment::Bf16 => taken_in(*m, g / v.sqrt()),
            };
            *m
        };
        self.m.iter_mut().zip(gradient).zip(estimate).map(one).collect()
    }
}

/// The cap is one that the fourth step meets.
#[test]
fn adafactor_follows_the_papers() {
    for (kind, first_moment, tolerance) in MOMENTS {
        let spec = spec::Adafactor { first_moment, beta2_cap: 0.6, ..Default::default() };
        let (m, second, columns) = (Vec::new(), Vec::new(), Vec::new());
        let formula = || AdafactorFormula {
            first_moment,
            m: m.clone(),
            second: second.clone(),
            columns: columns.clone(),
        };
        check(&Optimiser::Adafactor(spec), kind, formula, tolerance);
    }
}

/// torch 2.11: AdamW(lr = 0.1 / t, betas (0.9, 0.95), weight_decay 0.2) after clip_grad_norm_ to 2
/// (norms 1.69, 3.39, 5.11, 6.88, 8.83), five steps of one matrix `sin(i + 1)`, in f64.
#[test]
fn five_clipped_steps_give_pytorchs_numbers() {
    let expected = [
        0.6232827141526311,
        0.8143770502753768,
        0.09083512448914839,
        -0.5719130687782134,
        -0.7953768260957244,
        -0.1637870290374484,
    ];
    let norms = [
        1.6917966520788679,
        3.391065385712,
        5.110370463114536,
        6.88146024787604,
        8.830656166936578,
    ];
    for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::Double, 1e-7)] {
        let values = (Tensor::arange(6, (kind, CPU)) + 1.0).sin().view([2, 3]);
        let initial = [Parameter { name: "a.weight".into(), tensor: values }];
        let flat = Flat::new(&initial, &|_| 1.0, CPU);
        let mut train = train(Optimiser::Adamw(spec::AdamW::default()));
        train.clip = Some(2.0);
        let mut update = Update::new(&train, &flat);
        for (step, norm) in (0..5).zip(norms) {
            let rate = 0.1 / (step + 1) as f64;
            let found = update.apply(&flat, &gradient(&flat, step + 1), step, rate).unwrap();
            close(&host(&found), &[norm], tolerance);
        }
        close(&host(&flat.leaves()[0].tensor), &expected, tolerance);
    }
}

/// One of each, the first moment in either kind.
fn optimisers() -> Vec<Optimiser> {
    let of = |first_moment| {
        [
            Optimiser::Adamw(spec::AdamW { first_moment, ..Default::default() }),
            Optimiser::Adafactor(spec::Adafactor { first_moment, ..Default::default() }),
            Optimiser::Sgd(spec::Sgd { first_moment, nesterov: true, ..Default::default() }),
        ]
    };
    [Moment::F32, Moment::Bf16].into_iter().flat_map(of).collect()
}

#[test]
fn clipping_is_the_same_as_a_gradient_that_short() {
    for optimiser in optimisers() {
        let stepped = |clip: Option<f64>, scale: f64| {
            let flat = flat(Kind::Double);
            let mut update = Update::new(&TrainSpec { clip, ..train(optimiser.clone()) }, &flat);
            let gradient = gradient(&flat, 1) * scale;
            let norm = update.apply(&flat, &gradient, 0, 0.1).unwrap();
            (host(&flat.params), norm.double_value(&[]))
        };
        let (_, norm) = stepped(None, 1.0);
        let (clipped, found) = stepped(Some(2.0), 1.0);
        assert_eq!(found, norm);
        close(&clipped, &stepped(None, 2.0 / (norm + NORM_EPS)).0, 1e-12);
        close(&stepped(Some(norm + 1.0), 1.0).0, &stepped(None, 1.0).0, 0.0);
    }
}

/// Without a gradient, what is left of a step is the decay.
fn shrunk(optimiser: &Optimiser, change: &dyn Fn(&mut TrainSpec), multiplier: f64) -> f64 {
    let tensor = Tensor::ones([2, 2], (Kind::Double, CPU));
    let flat = Flat::new(&[Parameter { name: "a.weight".into(), tensor }], &|_| multiplier, CPU);
    let mut train = train(optimiser.clone());
    change(&mut train);
    let mut update = Update::new(&train, &flat);
    let _norm = update.apply(&flat, &flat.params.zeros_like(), 0, 0.01).unwrap();
    1.0 - flat.params.double_value(&[0])
}

#[test]
fn decay_follows_the_rate_or_the_schedule_and_never_the_multiplier() {
    let independent = |peak| {
        move |train: &mut TrainSpec| {
            (train.learning_rate, train.weight_decay.convention) = (peak, Convention::Independent);
        }
    };
    for optimiser in optimisers() {
        for multiplier in [1.0, 0.25] {
            let found = |change: &dyn Fn(&mut TrainSpec)| shrunk(&optimiser, change, multiplier);
            close(&[found(&|_| ())], &[0.01 * 0.2], 1e-15);
            close(&[found(&independent(0.02))], &[0.5 * 0.2], 1e-15);
            close(&[found(&independent(0.1))], &[0.1 * 0.2], 1e-15);
        }
    }
}

#[test]
fn a_multiplier_scales_a_groups_rate() {
    for optimiser in optimisers() {
        let stepped = |multiplier: f64, rate: f64| {
            let flat = Flat::new(&parameters(Kind::Double), &|_| multiplier, CPU);
            let mut train = train(optimiser.clone());
            train.weight_decay = WeightDecay::NONE;
            let mut update = Update::new(&train, &flat);
            let _norm = update.apply(&flat, &gradient(&flat, 1), 0, rate).unwrap();
            host(&flat.params)
        };
        close(&stepped(0.25, 0.1), &stepped(1.0, 0.025), 0.0);
    }
}

#[test]
fn padding_stays_zero() {
    for optimiser in optimisers() {
        let flat = flat(Kind::Float);
        let mut update = Update::new(&train(optimiser), &flat);
        for t in 1..=3 {
            let _norm = update.apply(&flat, &gradient(&flat, t), t - 1, 0.1).unwrap();
        }
        let copies: Vec<_> = flat.leaves().iter().map(|leaf| Some(leaf.tensor.detach())).collect();
        assert!(flat.gather(&copies).equal(&flat.params));
    }
}

#[test]
fn polyaks_average_starts_at_the_initial_parameters() {
    let flat = flat(Kind::Double);
    let mut train = train(Optimiser::Sgd(spec::Sgd::default()));
    train.polyak = Some(0.75);
    let mut update = Update::new(&train, &flat);
    let mut expected = host(&flat.params);
    for t in 1..=3 {
        let _norm = update.apply(&flat, &gradient(&flat, t), t - 1, 0.1).unwrap();
        average(&mut expected, &host(&flat.params), 0.75);
    }
    close(&host(update.average().unwrap()), &expected, 1e-12);
    let (name, tensor) = update.state().last().unwrap();
    assert_eq!(name, "average.a.bias");
    assert!(tensor.equal(&flat.spans.last().unwrap().of(update.average().unwrap())));
}

#[test]
fn state_is_named_after_its_parameters() {
    let flat = flat(Kind::Float);
    let names = |optimiser| {
        let update = Update::new(&train(optimiser), &flat);
        let named = |(name, tensor): &(String, Tensor)| format!("{name} {:?}", tensor.size());
        update.state().iter().map(named).collect::<Vec<_>>()
    };
    let adamw = names(Optimiser::Adamw(spec::AdamW::default()));
    assert_eq!(adamw.len(), 2 * LAYOUT.len());
    assert!(adamw.contains(&"exp_avg_sq.b.weight [33, 2, 35]".to_owned()));
    let adafactor = names(Optimiser::Adafactor(spec::Adafactor::default()));
    for name in [
        "exp_avg.c.weight [40, 36]",
        "exp_avg_sq_row.c.weight [1, 36]",
        "exp_avg_sq_col.c.weight [40, 1]",
        "exp_avg_sq_row.b.weight [33, 2, 1]",
        "exp_avg_sq_col.b.weight [1, 2, 35]",
        "exp_avg_sq.head.weight [7, 36]",
    ] {
        assert!(adafactor.iter().any(|found| found == name), "{name} is not in {adafactor:?}");
    }
    assert_eq!(names(Optimiser::Sgd(spec::Sgd::default())).len(), LAYOUT.len());
}

#[test]
fn state_is_as_large_as_the_closed_form_says() {
    let sizes = |shape: &[i64]| shape.iter().map(|size| size.unsigned_abs()).collect();
    let shapes: Vec<Vec<u64>> = LAYOUT.iter().map(|(_, shape, _)| sizes(shape)).collect();
    let flat = flat(Kind::Float);
    for optimiser in optimisers() {
        let update = Update::new(&train(optimiser.clone()), &flat);
        let bytes = |(_, tensor): &(String, Tensor)| {
            (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
        };
        let found = update.state().iter().map(bytes).sum::<u64>();
        let expected = optimiser.state_bytes(shapes.iter().map(Vec::as_slice));
        assert_eq!(expected, found, "{optimiser:?}");
    }
}

/// ViT-Ti/16 with 1000 classes: 5.7 million parameters.
fn vit_ti() -> Flat {
    let shape = Shape { width: 192, depth: 12, mlp: 768, heads: 3 };
    let vit = spec::VitSpec::new(spec::NamedShape::spelt_out(shape), 16, 224, 1000);
    Flat::new(&models::initial(&spec::ModelSpec::Vit(vit), 0), &|_| 1.0, CPU)
}

#[test]
fn microseconds_of_an_update_are_printed() {
    torch_ext::keep_freed_memory();
    let flat = vit_ti();
    let gradient = flat.params.randn_like() * 1e-3;
    for optimiser in optimisers() {
        let mut update =
            Update::new(&TrainSpec { clip: Some(1.0), ..train(optimiser.clone()) }, &flat);
        let timed = |step| {
            let (gradient, start) = (gradient.copy(), Instant::now());
            let _norm = update.apply(&flat, &gradient, step, 1e-4).unwrap();
            start.elapsed().as_micros()
        };
        let mut times: Vec<_> = (0..20).map(timed).collect();
        times.sort_unstable();
        println!("{:>6} us, at best {:>6}: {optimiser:?}", times[times.len() / 2], times[0]);
    }
}

#[test]
fn the_norm_of_a_long_gradient_is_exact() {
    for len in [1, 100, 4096, 4100, 3_000_000] {
        let values = ((Tensor::arange(len, (Kind::Double, CPU)) + 1.0) * 0.37).sin();
        let expected = values.norm().double_value(&[]);
        let found = super::norm(&values.to_kind(Kind::Float)).double_value(&[]);
        assert!((found / expected - 1.0).abs() < 5e-7, "{len}: {found}, not {expected}");
    }
}
