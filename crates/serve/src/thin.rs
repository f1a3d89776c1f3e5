//! Curves that are longer than a screen is wide.

use crate::view::Course;

/// Keeps about `most` points of a course: the first, the last, and of every stretch between them the
/// smallest and the largest value, so that no spike goes. A value that is not finite is left out.
pub fn thin(points: &[(u64, f64)], most: usize) -> Course {
    let finite: Vec<_> = points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let kept = if finite.len() <= most.max(2) { finite } else { extremes(&finite, most) };
    let (step, value) = kept.into_iter().unzip();
    Course { step, value }
}

fn extremes(points: &[(u64, f64)], most: usize) -> Vec<(u64, f64)> {
    let per = points.len().div_ceil((most / 2).max(1));
    let mut kept = vec![points[0]];
    for stretch in points[1..points.len() - 1].chunks(per) {
        let by_value = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let ends = stretch.iter().min_by(by_value).zip(stretch.iter().max_by(by_value));
        let Some((low, high)) = ends else { continue };
        let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        kept.push(*first);
        if second.0 != first.0 {
            kept.push(*second);
        }
    }
    kept.push(points[points.len() - 1]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_course_stays_as_it_is_without_what_is_not_finite() {
        let course = thin(&[(1, 0.5), (2, f64::NAN), (3, 0.25)], 100);
        assert_eq!(course, Course { step: vec![1, 3], value: vec![0.5, 0.25] });
        assert_eq!(thin(&[], 100), Course::default());
    }

    #[test]
    fn a_long_course_keeps_its_ends_and_its_spike() {
        let value = |step| if step == 61_803 { 9.0 } else { 1.0 / (step as f64 + 1.0) };
        let points: Vec<_> = (0..100_000).map(|step| (step, value(step))).collect();
        let course = thin(&points, 1000);
        assert!(course.step.len() <= 1002, "{}", course.step.len());
        assert_eq!((course.step[0], course.step.last()), (0, Some(&99_999)));
        assert!(course.value.contains(&9.0));
        assert!(course.step.is_sorted_by(|a, b| a < b));
    }
}
