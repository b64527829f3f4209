//! What a text with tokens costs.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use chrono::DateTime;
use herald_jobs::send::Syntax;
use herald_jobs::template::{Escape, Functions, Rendering, Template};
use serde_json::json;

use crate::report::Report;

const ROUNDS: u32 = 200_000;

/// Microseconds for one text of 300 bytes with five fields, from its compiled form.
pub(crate) fn render(report: &mut Report) -> Result<()> {
    let order = json!({
        "id": 4711, "status": "submitted", "submitted_at": "2026-03-01T09:30:00Z",
        "customer": {"name": "Harbour Coffee", "contact_person": {"email": "hana@harbour-coffee.example"}},
    });
    let order = order.as_object().context("an object")?;
    let source = format!(
        "{:.<300}",
        "Order #id# of #customer.name# is still #status# since #submitted_at#; ask #customer.contact_person.email#. "
    );
    let template = Template::compile(&source, Syntax::Token, &Functions::std())?;
    let how = Rendering { escape: Escape::Text, now: DateTime::UNIX_EPOCH };
    ensure!(template.render(order, &how)?.contains("Order 4711 of Harbour Coffee"));
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            black_box(template.render(black_box(order), &how)?);
        }
        took.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    }
    report.figure("template_render_us", &took);
    Ok(())
}
