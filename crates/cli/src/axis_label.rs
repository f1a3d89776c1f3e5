//! What columns and metrics are called in figures, and their units.

/// Of an axis: the name of [`name`], with its unit.
pub fn with_unit(column: &str) -> String {
    let name = name(column);
    match unit(column) {
        Some(unit) => format!("{name} ({unit})"),
        None => name,
    }
}

/// As papers name it: `few_shot_10_error` is `10-shot error`. A column of somebody's table keeps its name.
pub fn name(column: &str) -> String {
    match column {
        "train_flops" => "training compute".to_owned(),
        "params" => "parameters".to_owned(),
        "val_error" => "validation error".to_owned(),
        "val_loss" => "validation loss".to_owned(),
        "examples_seen" | "unique_examples" | "learning_rate" => column.replace('_', " "),
        other => match other.split_once("few_shot_") {
            Some((task, few)) => {
                format!("{task}{}", few.replacen('_', "-shot ", 1)).replace('_', " ")
            }
            None if unit(other).is_some() => other.replace('_', " "),
            None => other.to_owned(),
        },
    }
}

/// Within a title that says what it is about already.
pub fn short(column: &str) -> String {
    match column {
        "val_error" => "error".to_owned(),
        "val_loss" => "loss".to_owned(),
        other => name(other),
    }
}

fn unit(column: &str) -> Option<&'static str> {
    match column {
        "train_flops" => Some("FLOPs"),
        other if other.ends_with("_error") => Some("fraction"),
        other if other.ends_with("_loss") => Some("nats"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_papers_name_them_with_their_units() {
        for (column, label) in [
            ("train_flops", "training compute (FLOPs)"),
            ("params", "parameters"),
            ("unique_examples", "unique examples"),
            ("val_error", "validation error (fraction)"),
            ("val_loss", "validation loss (nats)"),
            ("few_shot_10_error", "10-shot error (fraction)"),
            ("cifar10_few_shot_5_error", "cifar10 5-shot error (fraction)"),
            ("fine_tune_loss", "fine tune loss (nats)"),
            ("Model Size", "Model Size"),
            ("my_column", "my_column"),
        ] {
            assert_eq!(with_unit(column), label);
        }
        assert_eq!(short("val_error"), "error");
    }
}
