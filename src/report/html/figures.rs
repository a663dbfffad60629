//! Figures as text and as small bars.

use crate::evaluation::{Figure, Interval};
use maud::{Markup, html};

/// What stands where there is nothing to score.
const NONE: &str = "–";

/// A figure from 0 to 1 with four decimals, as on the terminal; a dash where there is none.
pub(super) fn score(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.4}"),
        None => NONE.to_owned(),
    }
}

/// A probability of a single answer, with two decimals.
pub(super) fn probability(value: f32) -> String {
    if value.is_finite() { format!("{value:.2}") } else { NONE.to_owned() }
}

/// A difference, always with its sign.
pub(super) fn signed(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:+.4}").replace('-', "−"),
        None => NONE.to_owned(),
    }
}

/// A number of things, in groups of three digits.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number and what it counts, in the plural unless it is one.
pub(super) fn counted(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A p-value.
pub(super) fn p_value(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) if value < 0.001 => "< 0.001".to_owned(),
        Some(value) => format!("{value:.3}"),
        None => NONE.to_owned(),
    }
}

/// Both ends of an interval.
pub(super) fn range(interval: Interval) -> String {
    format!("{}–{}", score(Some(interval.low)), score(Some(interval.high)))
}

/// A share of a whole from 0 to 1; 0 of nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The cell of a table with a figure and its interval under it.
pub(super) fn figure_cell(figure: Figure) -> Markup {
    html! {
        td.n {
            (score(figure.value))
            @if let Some(interval) = figure.interval { small { (range(interval)) } }
        }
    }
}

/// A figure on a line from 0 to 1 with its interval as a band. The figures stand in words beside it.
pub(super) fn interval_bar(figure: Figure) -> Markup {
    bar(figure, |value| value)
}

/// Where a line begins and ends that has room for several figures, in tenths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Axis {
    /// The shortest one from tenth to tenth; from 0 to 1 for no figure.
    pub(super) fn over(figures: impl Iterator<Item = Figure>) -> Self {
        let ends = figures.flat_map(|figure| {
            let (low, high) = figure.interval.map_or((None, None), |i| (Some(i.low), Some(i.high)));
            [figure.value, low, high]
        });
        let ends: Vec<f64> = ends.flatten().filter(|end| (0.0..=1.0).contains(end)).collect();
        let Some(least) = ends.iter().copied().reduce(f64::min) else { return Self { low: 0.0, high: 1.0 } };
        let most = ends.iter().copied().fold(least, f64::max);
        let low = (least * 10.0).floor().min(9.0) / 10.0;
        Self { low, high: ((most * 10.0).ceil() / 10.0).max(low + 0.1) }
    }

    /// A figure on the line with its interval as a band.
    pub(super) fn bar(self, figure: Figure) -> Markup {
        bar(figure, |value| (value - self.low) / (self.high - self.low))
    }
}

/// A difference on a line from `-reach` to `reach`, with a mark at 0.
pub(super) fn difference_bar(figure: Figure, reach: f64) -> Markup {
    html! { span.zero { (bar(figure, |value| 0.5 + 0.5 * value / reach)) } }
}

fn bar(figure: Figure, place: impl Fn(f64) -> f64) -> Markup {
    let at = |value: f64| percent(place(value));
    html! {
        span.interval aria-hidden="true" {
            @if let Some(Interval { low, high }) = figure.interval {
                i style={ "left:" (at(low)) "%;right:" (percent(1.0 - place(high))) "%" } {}
            }
            @if let Some(value) = figure.value { b style={ "left:" (at(value)) "%" } {} }
        }
    }
}

/// A share as a percentage for CSS, within 0 and 100.
pub(super) fn percent(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", share * 100.0)
}

/// Text without control characters, which HTML does not allow.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !c.is_whitespace() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"].map(str::to_owned));
        assert_eq!([counted(1, "sentence"), counted(2, "sentence")], ["1 sentence", "2 sentences"]);
    }

    #[test]
    fn nothing_to_score_is_a_dash_and_a_difference_has_a_sign() {
        assert_eq!([score(None), score(Some(f64::NAN)), score(Some(0.0))], ["–", "–", "0.0000"]);
        assert_eq!([signed(Some(0.25)), signed(Some(-0.25)), signed(None)], ["+0.2500", "−0.2500", "–"]);
        assert_eq!([p_value(Some(0.0004)), p_value(Some(0.04)), p_value(None)], ["< 0.001", "0.040", "–"]);
    }

    #[test]
    fn an_axis_has_room_for_all_figures() {
        let figure = |value, low, high| Figure { value: Some(value), interval: Some(Interval { low, high }) };
        let axis = Axis::over([figure(0.55, 0.43, 0.64), figure(0.71, 0.66, 0.78)].into_iter());
        assert_eq!(axis, Axis { low: 0.4, high: 0.8 });
        assert_eq!(Axis::over(std::iter::empty()), Axis { low: 0.0, high: 1.0 });
        let all = Figure { value: Some(1.0), interval: None };
        assert_eq!(Axis::over([all].into_iter()), Axis { low: 0.9, high: 1.0 });
        assert!(axis.bar(all).into_string().contains("left:100.0%"));
    }

    #[test]
    fn a_bar_stays_on_its_line() {
        let figure = Figure { value: Some(2.0), interval: Some(Interval { low: -1.0, high: f64::INFINITY }) };
        let bar = interval_bar(figure).into_string();
        assert!(bar.contains("left:0.0%;right:0.0%") && bar.contains("left:100.0%"), "{bar}");
    }
}
