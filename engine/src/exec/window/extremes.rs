//! `max_over_time`, `min_over_time` and when they were, by a monotone queue: O(1) a step.

use crate::exec::error::ExecError;
use crate::promql::functions::FunctionId;

use super::{Slide, seconds};

/// NaN loses against every number. Among equals the value of the earliest and the time of the
/// latest is given, as Prometheus's comparisons have it.
pub(super) fn run(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    use FunctionId::*;
    let function = slide.window.function;
    let largest = matches!(function, MaxOverTime | TsOfMaxOverTime);
    let of_time = matches!(function, TsOfMaxOverTime | TsOfMinOverTime);
    let beats = move |new: f64, old: f64| match (largest, of_time) {
        (true, false) => new > old,
        (true, true) => new >= old,
        (false, false) => new < old,
        (false, true) => new <= old,
    };
    // Indices of samples that may yet be the extreme, best first. `head` is the first that is
    // still inside the window.
    let mut queue = std::mem::take(&mut slide.context.scratch.window.indices);
    queue.clear();
    let (mut head, mut seen) = (0, 0);
    let result = slide.each(|span, points| {
        seen = seen.max(span.lo);
        for index in seen..span.hi {
            let value = points.values[index];
            if value.is_nan() {
                continue;
            }
            while queue.len() > head && beats(value, points.values[queue[queue.len() - 1] as usize])
            {
                queue.pop();
            }
            queue.push(index as u32);
        }
        seen = seen.max(span.hi);
        while head < queue.len() && (queue[head] as usize) < span.lo {
            head += 1;
        }
        // All NaN: the last of them.
        let index = queue.get(head).map_or(span.hi - 1, |&index| index as usize);
        Some(if of_time { seconds(points.times_ms[index]) } else { points.values[index] })
    });
    slide.context.scratch.window.indices = queue;
    result
}
