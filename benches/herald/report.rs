//! The table and the file.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use serde::Serialize;

/// What was measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    figures: BTreeMap<String, f64>,
    ratios: BTreeMap<String, f64>,
}

impl Report {
    /// A figure of its own unit, which its name tells.
    pub(crate) fn figure(&mut self, name: &str, values: &[f64]) {
        self.figures.insert(name.to_owned(), show(name, values));
    }

    /// A ratio of two rates that were measured in turn.
    pub(crate) fn ratio(&mut self, name: &str, values: &[f64]) {
        self.ratios.insert(name.to_owned(), show(name, values));
    }

    /// Writes `target/bench/latest.json`; what was not measured this time keeps its last value.
    pub(crate) fn finish(mut self) -> Result<()> {
        let path = "target/bench/latest.json";
        fs::create_dir_all("target/bench")?;
        let earlier = fs::read_to_string(path)
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        for (now, kind) in [(&mut self.figures, "figures"), (&mut self.ratios, "ratios")] {
            let Some(earlier) = earlier.as_ref().and_then(|earlier| earlier[kind].as_object()) else {
                continue;
            };
            for (name, value) in earlier {
                if let Some(value) = value.as_f64() {
                    now.entry(name.clone()).or_insert(value);
                }
            }
        }
        fs::write(path, serde_json::to_string_pretty(&self)?)?;
        println!("\nWritten to {path}");
        Ok(())
    }
}

/// Prints one line; answers the median, rounded to what is worth reading.
fn show(name: &str, values: &[f64]) -> f64 {
    let median = median(values);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!("{name:<32} {median:>12.3}   {low:.3} to {high:.3} in {}", values.len());
    (median * 1_000.0).round() / 1_000.0
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` of all lie.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
