//! What a segment is called: `16x2 trunk 80..160, 1024 unique, seed 0`.

use spec::{SegmentKind, SegmentSpec, TransferMethod};

pub fn label(spec: &SegmentSpec) -> String {
    format!(
        "{} {}, {} unique, seed {}",
        spec.recipe.model.shape_name(),
        stretch(spec),
        spec.recipe.unique_examples,
        spec.recipe.seed
    )
}

/// `trunk 80..160`, or `few-shot after 160`.
fn stretch(spec: &SegmentSpec) -> String {
    let kind = match spec.kind {
        SegmentKind::Trunk => "trunk",
        SegmentKind::Cooldown => "cooldown",
        SegmentKind::Whole => "whole",
        SegmentKind::Transfer => return format!("{} after {}", method(spec), spec.start),
    };
    format!("{kind} {}..{}", spec.start, spec.end)
}

fn method(spec: &SegmentSpec) -> &'static str {
    match spec.transfer.as_ref().map(|transfer| &transfer.method) {
        Some(TransferMethod::FewShot(_)) => "few-shot",
        Some(TransferMethod::LinearProbe(_)) => "linear probe",
        Some(TransferMethod::FineTune(_)) => "fine-tuning",
        None => "transfer",
    }
}

/// What a step is of: `16x2, batch 32`, or `16x2, few-shot`.
pub fn workload_label(spec: &SegmentSpec) -> String {
    let shape = spec.recipe.model.shape_name();
    match spec.transfer {
        None => format!("{shape}, batch {}", spec.recipe.train.batch),
        Some(_) => format!("{shape}, {}", method(spec)),
    }
}
