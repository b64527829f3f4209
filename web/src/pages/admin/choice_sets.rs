//! Choice sets.

use herald_jobs::choice_set::{Choice, ChoiceSet};
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, choice_sets};

use super::fields::{Field, Kind};
use super::kept::{Kept, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use crate::access::form::Fields;
use crate::app::App;
use crate::pages::shell::Place;
use crate::words::Administration;

impl Kept for ChoiceSet {
    const PATH: &'static str = "choices";
    const PLACE: Place = Place::Choices;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.choice_sets, words.new_choice_set)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        vec![words.code.0, words.set_description.0, words.choices.0]
    }

    fn cells(&self, _: &Administration) -> Vec<String> {
        let labels: Vec<&str> = self.choices.iter().map(|choice| choice.label.as_str()).collect();
        vec![self.code.clone(), self.description.clone(), labels.join(", ")]
    }

    fn name(&self) -> &str {
        &self.code
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        (!self.standard).then_some(Removal::new(words.delete, words.gone_for_good))
    }

    fn fields(&self, words: &Administration, _: &Offered) -> Vec<Field> {
        let code = if self.code.is_empty() { Kind::Line } else { Kind::Fixed };
        vec![
            Field::new("code", words.code, code).holding(&self.code),
            Field::new("description", words.set_description, Kind::Line).holding(&self.description),
            Field::new("choices", words.choices, Kind::Lines).holding(written(&self.choices)),
        ]
    }

    fn read(fields: &Fields, _: &Administration) -> Result<Self, Refusal> {
        Ok(Self {
            code: fields.get("code").trim().to_owned(),
            description: fields.get("description").trim().to_owned(),
            choices: choices(fields.get("choices")),
            standard: false,
        })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        choice_sets::list(&app.pool, &asked.after, ONE_MORE).await
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        choice_sets::get(&app.pool, name).await
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        choice_sets::save(&app.pool, self, expect, actor).await
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        choice_sets::remove(&app.pool, name, expect, actor).await
    }
}

/// Between a value and its label.
const BETWEEN: &str = " = ";

fn written(choices: &[Choice]) -> String {
    let line = |choice: &Choice| {
        // A value that holds the sign itself is told from its label by writing both.
        let both = choice.label != choice.value || choice.value.contains(BETWEEN);
        if both { format!("{}{BETWEEN}{}", choice.value, choice.label) } else { choice.value.clone() }
    };
    choices.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn choices(text: &str) -> Vec<Choice> {
    let choice = |line: &str| {
        let (value, label) = line.split_once(BETWEEN).unwrap_or((line, line));
        Choice { value: value.trim().to_owned(), label: label.trim().to_owned() }
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_choice_and_reads_as_it_was_written() {
        let read = choices("S = Small\r\n\r\n  L = Large = huge \nYes\n");
        let pairs: Vec<_> = read.iter().map(|it| (it.value.as_str(), it.label.as_str())).collect();
        assert_eq!(pairs, [("S", "Small"), ("L", "Large = huge"), ("Yes", "Yes")]);
        assert_eq!(choices(&written(&read)), read);
    }
}
