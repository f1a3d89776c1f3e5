//! The variants of a sweep.

use spec::SweepSpec;

/// Their names, in the order of the sweep's file; none where it has no variants.
pub fn names(sweep: &SweepSpec) -> Vec<String> {
    let json = sweep.as_json();
    let tables = json["variant"].as_array().into_iter().flatten();
    tables.filter_map(|table| table["name"].as_str()).map(str::to_owned).collect()
}
