//! A bar chart as SVG.

use std::fmt::Write as _;

use super::figure::number;

/// One bar.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: &'static str,
    pub(crate) value: f64,
    pub(crate) is_ours: bool,
}

const LABELS: f64 = 130.0;
const BARS: f64 = 420.0;
const VALUES: f64 = 90.0;
const ROW: f64 = 30.0;
const HEAD: f64 = 40.0;

/// The chart, readable on light and dark pages.
pub(crate) fn svg(title: &str, bars: &[Bar]) -> String {
    let (width, height) = (
        LABELS + BARS + VALUES,
        HEAD + ROW * bars.len() as f64 + 10.0,
    );
    let longest = bars
        .iter()
        .map(|bar| bar.value)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#777\">\n\
         <text x=\"10\" y=\"22\" font-weight=\"bold\">{title}</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = HEAD + ROW * row as f64;
        let length = (bar.value / longest * BARS).max(1.0);
        let color = if bar.is_ours { "#2a7de1" } else { "#9aa5b1" };
        // Writing to a string does not fail.
        let _infallible = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"20\" rx=\"2\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            LABELS - 8.0,
            y + 15.0,
            bar.label,
            LABELS + length + 6.0,
            y + 15.0,
            number(bar.value)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
