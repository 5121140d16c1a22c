//! An invoice as a page of HTML to print.
//!
//! What people gave is written as text, never as HTML.

use crate::api::timestamp::Timestamp;
use crate::domain::billing::invoice_number;
use crate::store::billing::invoices::InvoiceRecord;

const STYLE: &str = "body{font:14px/1.5 sans-serif;max-width:45em;margin:3em auto;color:#222}table{width:100%;\
    border-collapse:collapse;margin-top:2em}td,th{padding:.5em 0;border-bottom:1px solid #ccc;text-align:left}\
    td:last-child,th:last-child{text-align:right}tr.total td{font-weight:bold;border-bottom:0}";

pub(super) fn invoice_page(invoice: &InvoiceRecord) -> String {
    let number = invoice_number(invoice.invoice_no);
    let issued = Timestamp(invoice.issued_at_ms).to_text();
    let day = issued.split('T').next().unwrap_or_default();
    let row = |class: &str, what: &str, cents: i64| {
        let sum = money(cents, &invoice.currency);
        format!("<tr{class}><td>{}</td><td>{}</td></tr>\n", text(what), text(&sum))
    };
    let mut rows: String = invoice.lines.iter().map(|line| row("", &line.description, line.amount_cents)).collect();
    if invoice.discount_cents != 0 {
        rows += &row("", "Discount", -invoice.discount_cents);
    }
    rows += &row(" class=\"total\"", "Total, paid", invoice.total_cents);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Invoice {number}</title>\
         <style>{STYLE}</style></head>\n<body><h1>Invoice {number}</h1>\n<p>{day}</p>\n<p>For {}</p>\n\
         <table><tr><th>What</th><th>Amount</th></tr>\n{rows}</table>\n</body></html>\n",
        text(&invoice.buyer),
    )
}

/// Writes a sum with its currency; two digits behind the point, as rupees have.
fn money(cents: i64, currency: &str) -> String {
    let sign = if cents < 0 { "−" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{currency} {}.{:02}", cents / 100, cents % 100)
}

fn text(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            '\'' => html += "&#39;",
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::billing::OrderLine;
    use crate::domain::id::{InvoiceId, OrderId};

    #[test]
    fn what_people_gave_is_text() {
        let line =
            OrderLine { description: "Growth, one month".to_owned(), amount_cents: 99_900, renewed_addon_id: None };
        let page = invoice_page(&InvoiceRecord {
            id: InvoiceId::generate(),
            invoice_no: 42,
            order_id: OrderId::generate(),
            buyer: "<script>Ana & 'Co'".to_owned(),
            lines: vec![line],
            gross_cents: 99_900,
            discount_cents: 19_980,
            total_cents: 79_920,
            currency: "INR".to_owned(),
            issued_at_ms: 1_798_761_600_000,
        });
        assert!(page.contains("<p>For &lt;script&gt;Ana &amp; &#39;Co&#39;</p>"), "{page}");
        assert!(page.contains("<h1>Invoice INV-000042</h1>\n<p>2027-01-01</p>"), "{page}");
        assert!(page.contains("<td>Discount</td><td>−INR 199.80</td>"), "{page}");
        assert!(page.contains("<tr class=\"total\"><td>Total, paid</td><td>INR 799.20</td></tr>"), "{page}");
    }
}
