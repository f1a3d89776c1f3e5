//! A sweep file: parsed once, validated whole, never changed afterwards.
//!
//! [`SweepSpec::parse`] turns text into typed tables ([`mod@file`]), the tables into cross products
//! of axes, and those into trials. Every error names the file, the line and the key.

mod expand;
mod file;
mod json;
mod locate;
mod model;
mod overrides;
mod slurm;
mod transfer;
mod variant;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::TrialId;
use crate::keep::Keep;
use crate::slurm::SlurmSpec;
use crate::transfer::TransferSpec;
use crate::trial::TrialSpec;
use variant::Variant;

pub use json::{model_from_json, train_from_json};

/// A valid sweep and all its trials.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepSpec {
    pub name: String,
    /// The sweep file's text with every `--set` override written into it: what is stored.
    pub text: String,
    /// Every trial once, cheapest first, so that a broken sweep fails before it is expensive.
    pub trials: Vec<TrialSpec>,
    /// The variant that each trial belongs to, in a sweep that has variants; a trial of several
    /// belongs to the first.
    pub variants: BTreeMap<TrialId, String>,
    /// Every variant, in the order of the file; none where it has no variants.
    pub variant_names: Vec<String>,
    /// What every trial is evaluated on besides.
    pub transfers: Vec<TransferSpec>,
    /// What a queue is asked for, where the sweep says so. Nothing else depends on it.
    pub slurm: Option<SlurmSpec>,
    /// Checkpoints that stay. Nothing else depends on it.
    pub keep: Keep,
}

/// Why a file is no sweep, model or training.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("{file}: {error}")]
    Syntax { file: String, error: Box<toml::de::Error> },
    #[error("{file}, variant `{variant}` (lines of the file with its keys put in): {error}")]
    VariantSyntax { file: String, variant: String, error: Box<toml::de::Error> },
    #[error("{file}, line {line}, {key}: {message}")]
    Invalid { file: String, line: usize, key: String, message: String },
    #[error("--set {assignment}: {message}")]
    Override { assignment: String, message: String },
    #[error("{file}: {error}")]
    Json { file: String, error: serde_json::Error },
    #[error("{file}, {key}: {message}")]
    InvalidJson { file: String, key: String, message: String },
}

/// A key of the sweep file, as in `train.learning_rate` or `part[1].shapes[0]`, and what is wrong
/// with its value.
#[derive(Debug, PartialEq)]
struct Problem {
    key: String,
    message: String,
}

impl Problem {
    fn new(key: impl Into<String>, message: impl ToString) -> Self {
        Self { key: key.into(), message: message.to_string() }
    }

    /// The same problem, of a key of `table`; with an empty key, of the table itself.
    fn within(self, table: &str) -> Self {
        let key = match self.key.as_str() {
            "" => table.to_owned(),
            key => format!("{table}.{key}"),
        };
        Self { key, ..self }
    }

    /// Named by the variant's own key where that is where the value is from: where the variant gives
    /// the key, or more of the tables around it than the sweep does.
    fn of_variant(self, position: usize, text: &str) -> Self {
        let variant = format!("variant[{position}]");
        let own = format!("{variant}.{}", self.key);
        let (whole, within) = (locate::length(&own), locate::length(&variant));
        let (given, by_sweep) = (locate::depth(text, &own), locate::depth(text, &self.key));
        // The variant's name is no setting of the sweep.
        let is_own = self.key != "name" && (given == whole || given > within + by_sweep);
        match is_own {
            true => Self { key: own, ..self },
            false => self,
        }
    }

    fn in_file(self, file: &str, text: &str) -> SpecError {
        let line = locate::line_of(text, &self.key);
        SpecError::Invalid { file: file.to_owned(), line, key: self.key, message: self.message }
    }
}

/// The first of `keys` that is given though none of the kinds that read it is `kind`.
fn unread<K: PartialEq>(keys: &[(&'static str, bool, &[K])], kind: K) -> Option<&'static str> {
    keys.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)).map(|(key, ..)| *key)
}

/// Whether a sweep may be called so: the name becomes that of files and folders.
///
/// # Errors
/// Says what a name is.
pub fn check_name(name: &str) -> Result<(), String> {
    expand::check_name(name)
}

impl SweepSpec {
    /// Reads a sweep file's `text`. `file` is its name in errors; `overrides` are `key=value`
    /// pairs that replace its values.
    ///
    /// # Errors
    /// Text that is not TOML, an unknown or missing key, or values that make no sweep.
    pub fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Self, SpecError> {
        let text = overrides::apply(text, overrides)?;
        let variants = variant::all(&text).map_err(|(position, message)| {
            let problem = Problem::new(format!("variant[{position}]"), message);
            problem.in_file(file, &text)
        })?;
        let mut sweep = Self {
            name: String::new(),
            text: text.clone(),
            trials: Vec::new(),
            variants: BTreeMap::new(),
            variant_names: variants.iter().filter_map(|variant| variant.name.clone()).collect(),
            transfers: Vec::new(),
            slurm: None,
            keep: Keep::default(),
        };
        for (position, variant) in variants.iter().enumerate() {
            sweep.add(file, position, variant)?;
        }
        sweep.trials.sort_by(|a, b| a.train_flops().total_cmp(&b.train_flops()));
        Ok(sweep)
    }

    /// Adds the trials of a variant that the sweep does not have yet.
    fn add(&mut self, file: &str, position: usize, variant: &Variant) -> Result<(), SpecError> {
        let tables: file::SweepFile = toml::from_str(&variant.text).map_err(|error| {
            let (file, error) = (file.to_owned(), Box::new(error));
            match variant.name.clone() {
                None => SpecError::Syntax { file, error },
                Some(variant) => SpecError::VariantSyntax { file, variant, error },
            }
        })?;
        let located = |problem: Problem| match &variant.name {
            None => problem.in_file(file, &self.text),
            Some(name) => {
                let Problem { key, message } = problem.of_variant(position, &self.text);
                let message = format!("{message} (variant `{name}`)");
                Problem { key, message }.in_file(file, &self.text)
            }
        };
        let trials = expand::trials(&tables).map_err(located)?;
        let transfers = transfer::transfers(&tables, &trials).map_err(located)?;
        if position > 0 && transfers != self.transfers {
            let message = "every variant is evaluated alike: its [[transfer]] tables, and the classes that they hold out, may not differ";
            return Err(located(Problem::new("transfer", message)));
        }
        let slurm = tables.slurm.as_ref().map(slurm::slurm).transpose();
        let slurm = slurm.map_err(|problem| located(problem.within("slurm")))?;
        if position > 0 && slurm != self.slurm {
            let message = "every variant goes to the same queue: a variant has no [slurm] table";
            return Err(located(Problem::new("slurm", message)));
        }
        if position > 0 && tables.checkpoints.keep != self.keep {
            let message =
                "what is kept is so for all variants: a variant has no [checkpoints] table";
            return Err(located(Problem::new("checkpoints", message)));
        }
        (self.name, self.transfers, self.slurm) = (tables.name, transfers, slurm);
        self.keep = tables.checkpoints.keep;
        let known: BTreeSet<TrialId> = self.trials.iter().map(TrialSpec::id).collect();
        for trial in trials {
            let id = trial.id();
            if known.contains(&id) {
                continue;
            }
            self.variants.extend(variant.name.clone().map(|name| (id, name)));
            self.trials.push(trial);
        }
        Ok(())
    }

    /// The sweep file as JSON, for programs that do not read TOML.
    pub fn as_json(&self) -> serde_json::Value {
        toml::from_str(&self.text).expect("the text was parsed once already")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::TrialId;
    use crate::model::ModelSpec;

    const SWEEP: &str = r#"
name = "test"
seeds = [0, 1]
[data]
source = "procedural"
[model]
family = "vit"
patch = 8
shapes = ["mu", { width = 16, depth = 2, mlp = 64, heads = 1 }]
[axes]
unique_examples = [1024, 4096]
examples_seen = [32000, 64000]
[train]
batch = 32
learning_rate = { mu = 3e-3, 16x2 = 6e-3 }
schedule = { decay = "rsqrt", timescale = 100, warmup = 100, cooldown = 0.2 }
weight_decay = 0.05
[eval]
examples = 512
"#;

    fn parse(text: &str) -> Result<SweepSpec, SpecError> {
        SweepSpec::parse("test.toml", text, &[])
    }

    /// The error of SWEEP with `from` replaced by `to`.
    fn error_with(from: &str, to: &str) -> String {
        assert!(SWEEP.contains(from), "{from}");
        parse(&SWEEP.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn the_grid_is_the_product_of_its_axes_cheapest_first() {
        let sweep = parse(SWEEP).unwrap();
        assert_eq!(sweep.trials.len(), 2 * 2 * 2 * 2);
        assert!(sweep.trials.is_sorted_by_key(|trial| trial.train_flops()));
        let longest = &sweep.trials[15];
        assert_eq!((longest.steps, longest.cooldown), (2000, 400));
        assert_eq!(longest.recipe.model.classes(), 64);
    }

    #[test]
    fn a_part_adds_only_what_the_grid_lacks() {
        let text = format!(
            "{SWEEP}[[part]]\nseeds = [1, 2]\nshapes = [\"mu\"]\nexamples_seen = [64000]\n"
        );
        let sweep = parse(&text).unwrap();
        assert_eq!(sweep.trials.len(), 16 + 2);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        check(("batch = 32", "batch = 32\nbacth = 3"), &["test.toml", "line 15", "bacth"]);
        check(("\"mu\",", "\"mi\","), &["line 9", "model.shapes[0]", "unknown shape `mi`"]);
        check(("heads = 1", "heads = 3"), &["line 9", "model.shapes[1]", "does not divide width"]);
        check(("patch = 8", "patch = 5"), &["line 8", "model.patch", "does not divide resolution"]);
        check(("[1024, 4096]", "[]"), &["line 11", "axes.unique_examples", "empty"]);
        check(
            ("[32000, 64000]", "[32000, 1600]"),
            &["line 12", "axes.examples_seen[1]", "warm-up"],
        );
        check(("[32000, 64000]", "[32001]"), &["axes.examples_seen[0]", "batch"]);
        check(("16x2 = 6e-3", "17x2 = 6e-3"), &["line 15", "train.learning_rate", "16x2"]);
        check(("weight_decay = 0.05", "weight_decay = -1"), &["line 17", "train.weight_decay"]);
        check(("name = \"test\"", "name = \"a/b\""), &["line 2", "name"]);
        check(("cooldown = 0.2", "cooldown = 1.5"), &["line 16", "train.schedule.cooldown"]);
        check(("\"rsqrt\"", "\"cosine\""), &["train.schedule.timescale", "rsqrt"]);
        check(
            ("patch = 8", "patch = 8\ngroups = 8"),
            &["line 9", "model.groups", "no such setting"],
        );
        check(("batch = 32", "batch = 32\nmicro_batch = 0"), &["line 15", "train.micro_batch"]);
        check(("heads = 1", "layers = [1]"), &["line 9", "model.shapes[1]", "heads"]);
        check(
            ("patch = 8", "patch = 8\npool = \"none\""),
            &["line 9", "model.pool", "masked-patch"],
        );
        check(("mu = 3e-3", "mu = nan"), &["line 15", "train.learning_rate.mu"]);
        check(("source = \"procedural\"", "source = \"cifar11\""), &["line 5", "cifar11"]);
        check(("seeds = [0, 1]", "seeds = [0, -1]"), &["line 3", "seeds"]);
        fn check((from, to): (&str, &str), parts: &[&str]) {
            let error = error_with(from, to);
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }

    #[test]
    fn what_is_kept_changes_no_trial_and_is_trunks_unless_said() {
        let kept =
            |table: &str| parse(&format!("{SWEEP}{table}")).map(|sweep| (sweep.keep, sweep.trials));
        let (keep, trials) = kept("").unwrap();
        assert_eq!(keep, Keep::Trunks);
        for (word, expected) in [("none", Keep::None), ("trunks", Keep::Trunks), ("all", Keep::All)]
        {
            let table = format!("[checkpoints]\nkeep = \"{word}\"\n");
            assert_eq!(kept(&table).unwrap(), (expected, trials.clone()));
        }
        let error = kept("[checkpoints]\nkeep = \"some\"\n").unwrap_err().to_string();
        assert!(error.contains("some") && error.contains("trunks"), "{error}");
    }

    #[test]
    fn a_slurm_table_changes_no_trial_and_its_errors_name_file_line_and_key() {
        let slurm = "[slurm]\npartition = \"gpu\"\ntime = \"02:00:00\"\n";
        let sweep = parse(&format!("{SWEEP}{slurm}")).unwrap();
        assert_eq!(sweep.trials, parse(SWEEP).unwrap().trials);
        assert_eq!(sweep.slurm.unwrap().time.as_deref(), Some("02:00:00"));
        for (settings, parts) in [
            ("gpus = 1", ["test.toml", "line 23", "unknown field `gpus`"]),
            ("cpus = 0", ["test.toml", "line 23", "slurm.cpus: must be at least 1"]),
            ("directives = [\"-x\", \"y\"]", ["line 23", "slurm.directives[1]", "--key=value"]),
        ] {
            let error = parse(&format!("{SWEEP}{slurm}{settings}")).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
        }
        let variants = "[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nslurm.cpus = 2\n";
        let error = parse(&format!("{SWEEP}{slurm}{variants}")).unwrap_err().to_string();
        assert!(error.contains("variant[1].slurm"), "{error}");
    }

    #[test]
    fn masked_patches_are_predicted_by_a_vit_without_pooling() {
        let masked = |settings: &str| {
            let settings = format!("patch = 8\n{settings}");
            let text = SWEEP.replace("patch = 8", &settings);
            parse(&text.replace("batch = 32", "batch = 32\nobjective = \"masked-patch\""))
        };
        for trial in masked("").unwrap().trials {
            let ModelSpec::Vit(vit) = &trial.recipe.model else { panic!("a vit was asked for") };
            assert_eq!((vit.pool, vit.classes, vit.mask_token), (crate::Pool::None, 512, true));
        }
        for (settings, key) in [
            ("fc_norm = true", "model.fc_norm"),
            ("pool = \"gap\"", "model.pool"),
            ("pool = \"map\"", "model.pool"),
        ] {
            let error = masked(settings).unwrap_err().to_string();
            assert!(error.contains(&format!("line 9, {key}")), "{error}");
        }
        let hybrid = r#"{"family": "hybrid", "shape": "Ti", "stem": {"layers": []}, "resolution": 32, "classes": 2}"#;
        let error = model_from_json("test", hybrid).unwrap().for_masked_patches().unwrap_err();
        assert_eq!(error, crate::ModelError::MaskedFamily("hybrid"));
    }

    #[test]
    fn numbers_that_make_no_training_are_refused() {
        let at_rsqrt = "decay = \"rsqrt\", timescale = 100, warmup = 100, cooldown = 0.2";
        let mup = "patch = 8\nmup = { base_width = 16 }";
        parse(&SWEEP.replace("patch = 8", mup)).unwrap();
        let sgd = SWEEP.replace("batch = 32", "batch = 32\noptimiser = \"sgd\"");
        let error = parse(&sgd.replace("patch = 8", mup)).unwrap_err().to_string();
        assert!(error.contains("line 9, model.mup"), "{error}");
        for (from, to, key) in [
            (
                "batch = 32",
                "batch = 32\nobjective = { name = \"sigmoid\", head_bias = inf }",
                "objective",
            ),
            ("batch = 32", "batch = 32\noptimiser = { name = \"adamw\", eps = 0 }", "optimiser"),
            (
                "batch = 32",
                "batch = 32\noptimiser = { name = \"adafactor\", eps = 0 }",
                "optimiser",
            ),
            (at_rsqrt, "decay = \"cosine\", warmup = 1000", "axes.examples_seen[0]"),
            (at_rsqrt, "decay = \"linear\", warmup = 1000", "axes.examples_seen[0]"),
        ] {
            let error = error_with(from, to);
            assert!(error.contains(key), "`{key}` is not in: {error}");
        }
        error_with(at_rsqrt, "decay = \"constant\", warmup = 1001");
        parse(&SWEEP.replace(at_rsqrt, "decay = \"constant\", warmup = 1000")).unwrap();
        for rate in ["0", "-1e-3"] {
            let text = format!("{{\"learning_rate\": {rate}}}");
            let error = train_from_json("t.json", &text, 8).unwrap_err().to_string();
            assert!(error.contains("t.json, learning_rate: must be"), "{error}");
        }
    }

    const VARIANTS: &str = r#"
[[variant]]
name = "plain"
[[variant]]
name = "bit"
train.learning_rate = 1e-3
model = { family = "bit", shapes = [{ layers = [1, 1], width = 8 }], groups = 4 }
"#;

    fn with_variants(replaced: (&str, &str)) -> Result<SweepSpec, SpecError> {
        // What the variants differ in is theirs alone: a table is merged key by key.
        let model = "[model]\nfamily = \"vit\"\npatch = 8\nshapes = [\"mu\", { width = 16, depth = 2, mlp = 64, heads = 1 }]\n";
        assert!(SWEEP.contains(model));
        let plain = "name = \"plain\"\nmodel = { family = \"vit\", patch = 8, shapes = [\"mu\"] }";
        let text = SWEEP.replace(model, "") + &VARIANTS.replace("name = \"plain\"", plain);
        assert!(text.contains(replaced.0), "{}", replaced.0);
        parse(&text.replace(replaced.0, replaced.1))
    }

    #[test]
    fn variants_replace_settings_and_label_trials() {
        let sweep = with_variants(("", "")).unwrap();
        assert_eq!(sweep.trials.len(), 16);
        for trial in &sweep.trials {
            let expected = if trial.recipe.model.family() == "bit" { "bit" } else { "plain" };
            assert_eq!(sweep.variants[&trial.id()], expected);
        }
        assert_eq!(parse(&sweep.text).unwrap(), sweep);
    }

    #[test]
    fn errors_of_variants_name_their_keys() {
        for (replaced, parts) in [
            (("groups = 4", "groups = 3"), ["variant[1].model.groups", "does not divide"]),
            (("groups = 4", "group = 4"), ["variant `bit`", "unknown field `group`"]),
            (("name = \"bit\"", "name = \"plain\""), ["variant[1]", "two variants"]),
            (("batch = 32", "batch = 0"), ["train.batch", "at least 1"]),
        ] {
            let error = with_variants(replaced).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }

    #[test]
    fn a_key_is_the_variants_where_its_value_is() {
        let variant = "[[variant]]\nname = \"a\"\ntrain.learning_rate = 1e-3\n";
        let schedule = "train.schedule = { decay = \"rsqrt\", shift = -1.0 }\n";
        for (text, key) in [
            (SWEEP.replace("batch = 32", "batch = 0"), "line 14, train.batch:"),
            (SWEEP.replace("\"test\"", "\"a/b\""), "line 2, name:"),
            (SWEEP.replace("[axes]", "[axes]\nepochs = [1]"), "line 10, axes:"),
        ] {
            let error = parse(&format!("{text}{variant}")).unwrap_err().to_string();
            assert!(error.contains(key), "`{key}` is not in: {error}");
        }
        for (settings, key) in [
            ("train.batch = 0", "variant[0].train.batch:"),
            ("model.shapes = [\"mu\", \"mi\"]", "variant[0].model.shapes[1]:"),
            (schedule, "variant[0].train.schedule.shift:"),
            ("train.polyak = 2.0", "variant[0].train.polyak:"),
        ] {
            let error = parse(&format!("{SWEEP}{variant}{settings}")).unwrap_err().to_string();
            assert!(error.contains(key), "`{key}` is not in: {error}");
        }
    }

    #[test]
    fn errors_of_a_model_name_the_key_that_holds_it() {
        let mixer = "family = \"mixer\"\npatch = 8\nshapes = [{ width = 16, depth = 0, mlp = 8, tokens = 8 }]";
        let bit = "family = \"bit\"\nshapes = [{ layers = [1], width = 2000000 }]";
        let hybrid = |stem: &str, shape: &str| {
            format!("family = \"hybrid\"\nstem = {stem}\nshapes = [{shape}]")
        };
        let of = |text: &str| {
            let from = SWEEP.find("family").unwrap();
            let to = SWEEP.find("\n[axes]").unwrap();
            let text = format!("{}{text}{}", &SWEEP[..from], &SWEEP[to..]);
            parse(&text).unwrap_err().to_string()
        };
        for (text, parts) in [
            (mixer.to_owned(), ["model.shapes[0]", "`depth` must be from 1"]),
            (bit.to_owned(), ["model.shapes[0]", "`width` must be from 1"]),
            (hybrid("{ layers = [0] }", "\"mu\""), ["model.stem", "`layers` must be from 1"]),
            (
                hybrid("{ layers = [], width = 48 }", "\"mu\""),
                ["model.stem", "does not divide the 48 channels"],
            ),
            (hybrid("{ layers = [] }", "{ width = 8 }"), ["model.shapes[0]", "family hybrid"]),
            (
                "family = \"vit\"\npatch = 2000000\nshapes = [\"mu\"]".to_owned(),
                ["model.patch", "`patch` must be from 1"],
            ),
        ] {
            let error = of(&text);
            assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
        }
        let large = "source = \"procedural\"\nresolution = 2000000";
        let error = error_with("source = \"procedural\"", large);
        assert!(error.contains("line 6, data.resolution: `resolution` must be"), "{error}");
    }

    #[test]
    fn keys_of_json_files_are_bare() {
        let model = |text: &str| model_from_json("m.json", text).unwrap_err().to_string();
        let train = |text: &str| train_from_json("t.json", text, 8).unwrap_err().to_string();
        for (error, start) in [
            (train(r#"{"learning_rate": 1, "micro_batch": 0}"#), "t.json, micro_batch:"),
            (
                train(r#"{"learning_rate": 1, "schedule": {"decay": "cosine", "shift": 1}}"#),
                "t.json, schedule.shift:",
            ),
            (
                model(
                    r#"{"family": "vit", "patch": 0, "shape": "mu", "resolution": 32, "classes": 2}"#,
                ),
                "m.json, patch:",
            ),
            (model(r#"{"family": "bit", "shape": "R50x1", "shapes": []}"#), "m.json, shapes:"),
            (
                model(
                    r#"{"family": "vit", "patch": 8, "shape": "mi", "resolution": 32, "classes": 2}"#,
                ),
                "m.json, shape:",
            ),
            (
                model(
                    r#"{"family": "bit", "shape": "R50x1", "resolution": 2000000, "classes": 2}"#,
                ),
                "m.json, resolution:",
            ),
        ] {
            assert!(error.starts_with(start), "{start}: {error}");
        }
    }

    #[test]
    fn transfers_hold_classes_out_and_their_errors_name_keys() {
        let few = "[[transfer]]\nmethod = \"few-shot\"\nshots = [5, 10]\n";
        let tune = |steps: &str| {
            let numbers = "unique_examples = 8\nlearning_rate = 0.1";
            format!("[[transfer]]\nmethod = \"fine-tune\"\n{numbers}\n{steps}\n")
        };
        let sweep = parse(&format!("{SWEEP}{few}")).unwrap();
        let [transfer] = &sweep.transfers[..] else { panic!("{:?}", sweep.transfers) };
        let crate::DataSpec::Procedural(data) = &transfer.data else { panic!("{transfer:?}") };
        assert_eq!((data.first_class, data.classes, transfer.classes), (64, 64, 64));
        for (table, parts) in [
            (format!("{few}steps = 3\n"), ["transfer[0].steps", "no such setting"]),
            (format!("{few}{few}"), ["transfer[1]", "give this one a `name`"]),
            (
                format!("{few}name = \"a-b\"\n{few}name = \"a_b\"\n"),
                ["transfer[1]", "give this one a `name`"],
            ),
            (
                format!("{few}[transfer.data]\nsource = \"image-folder\"\npath = \"x\"\n"),
                ["transfer[0].data.classes", "number of classes"],
            ),
            (
                format!("{few}data = {{ source = \"procedural\", resolution = 36 }}\n"),
                ["transfer[0].data.resolution", "patch = 8 does not divide resolution = 36"],
            ),
            ("[[transfer]]\nmethod = \"fine-tune\"\n".into(), ["transfer[0]", "is missing"]),
            (tune("steps = 9\nwarmup = 9"), ["transfer[0].warmup", "9 steps are not more"]),
            (tune("steps = 2000000000"), ["transfer[0].steps", "at most"]),
        ] {
            let error = parse(&format!("{SWEEP}{table}")).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
        }
    }

    #[test]
    fn overrides_replace_values_and_are_part_of_the_stored_text() {
        let set = ["train.batch=64".to_owned(), "seeds=[7]".to_owned(), "name=other".to_owned()];
        let sweep = SweepSpec::parse("test.toml", SWEEP, &set).unwrap();
        assert_eq!(sweep.name, "other");
        assert!(
            sweep
                .trials
                .iter()
                .all(|trial| trial.recipe.train.batch == 64 && trial.recipe.seed == 7)
        );
        assert_eq!(parse(&sweep.text).unwrap().trials, sweep.trials);
        let error = SweepSpec::parse("test.toml", SWEEP, &["train".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("key=value"), "{error}");
    }

    #[test]
    fn a_list_of_learning_rates_is_a_tuning_axis() {
        let text = SWEEP.replace("{ mu = 3e-3, 16x2 = 6e-3 }", "[1e-3, 3e-3, 1e-2]");
        let sweep = parse(&text).unwrap();
        assert_eq!(sweep.trials.len(), 48);
    }

    #[test]
    fn lengths_may_be_epochs_or_flops() {
        let epochs =
            parse(&SWEEP.replace("examples_seen = [32000, 64000]", "epochs = [10]")).unwrap();
        let seen: Vec<_> = epochs.trials.iter().map(TrialSpec::examples_seen).collect();
        assert!(seen.contains(&10240) && seen.contains(&40960));
        let flops = parse(&SWEEP.replace("examples_seen = [32000, 64000]", "train_flops = [1e12]"))
            .unwrap();
        for trial in &flops.trials {
            assert!((trial.train_flops() / 1e12 - 1.0).abs() < 1e-3);
        }
    }

    proptest! {
        #[test]
        fn trials_are_distinct_and_parsing_is_a_function_of_the_text(
            seeds in proptest::collection::btree_set(0_u64..1000, 1..5),
            lengths in proptest::collection::btree_set(1000_u64..5000, 1..5),
        ) {
            let seeds: Vec<_> = seeds.into_iter().collect();
            let lengths: Vec<_> = lengths.into_iter().map(|steps| steps * 32).collect();
            let text = SWEEP
                .replace("[0, 1]", &format!("{seeds:?}"))
                .replace("[32000, 64000]", &format!("{lengths:?}"));
            let sweep = parse(&text).unwrap();
            let ids: std::collections::BTreeSet<TrialId> = sweep.trials.iter().map(TrialSpec::id).collect();
            prop_assert_eq!(ids.len(), 4 * seeds.len() * lengths.len());
            prop_assert_eq!(sweep, parse(&text).unwrap());
        }
    }
}
