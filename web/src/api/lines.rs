//! A body of lines, taken apart as it comes in.

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use futures::stream::{self, Stream};

/// Lines that are handed on before others have a turn.
const IN_A_ROW: usize = 256;

/// What was found in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// A line that is longer than a line may be; the rest of it is passed over.
    TooLong,
    /// The body ended before its end, and perhaps in the middle of a line, which does not count.
    Broken,
}

struct Reading<S> {
    chunks: S,
    /// What came in, how much of it was handed on, and how much was searched for the end of a line.
    buffer: Vec<u8>,
    begin: usize,
    searched: usize,
    /// Lines since others had a turn.
    in_a_row: usize,
    /// In the middle of a line that is too long.
    passing_over: bool,
    ended: bool,
}

/// The lines of a body that are not empty, each with its number from 1.
pub(super) fn lines(body: Body, longest: usize) -> impl Stream<Item = (usize, Line)> {
    split(body.into_data_stream().map(|chunk| chunk.map_err(drop)), longest)
}

fn split(chunks: impl Stream<Item = Result<Bytes, ()>>, longest: usize) -> impl Stream<Item = (usize, Line)> {
    let reading = Reading {
        chunks: Box::pin(chunks),
        buffer: Vec::new(),
        begin: 0,
        searched: 0,
        in_a_row: 0,
        passing_over: false,
        ended: false,
    };
    let found = stream::unfold(reading, move |mut reading| async move {
        let line = reading.next(longest).await?;
        Some((line, reading))
    });
    let is_empty = |line: &Line| matches!(line, Line::Whole(text) if text.trim_ascii().is_empty());
    found
        .enumerate()
        .map(|(position, line)| (position + 1, line))
        .filter(move |(_, line)| std::future::ready(!is_empty(line)))
}

impl<S: Stream<Item = Result<Bytes, ()>> + Unpin> Reading<S> {
    async fn next(&mut self, longest: usize) -> Option<Line> {
        loop {
            if let Some(line) = self.line(longest) {
                self.give_way().await;
                return Some(line);
            }
            self.forget();
            if self.searched > longest {
                self.passing_over = true;
                self.clear();
            }
            if self.ended {
                return None;
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(())) => {
                    self.ended = true;
                    self.clear();
                    return Some(Line::Broken);
                }
                // The last line may come without its end.
                None => {
                    self.ended = true;
                    if self.passing_over || !self.buffer.is_empty() {
                        self.buffer.push(b'\n');
                    }
                }
            }
        }
    }

    /// The next line, where the end of it is here. What follows stays in its place: moving it for each line would take ever longer
    /// the shorter they are.
    fn line(&mut self, longest: usize) -> Option<Line> {
        let at = self.searched + self.buffer[self.searched..].iter().position(|&byte| byte == b'\n')?;
        let text = &self.buffer[self.begin..at];
        let is_too_long = std::mem::take(&mut self.passing_over) || text.len() > longest;
        let line = if is_too_long { Line::TooLong } else { Line::Whole(text.to_vec()) };
        self.begin = at + 1;
        self.searched = self.begin;
        Some(line)
    }

    /// Drops what was handed on. All of the rest has been searched.
    fn forget(&mut self) {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        self.searched = self.buffer.len();
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.begin = 0;
        self.searched = 0;
    }

    /// Lets others have a turn now and then: nobody waits for anything while empty lines are dropped.
    async fn give_way(&mut self) {
        self.in_a_row += 1;
        if self.in_a_row == IN_A_ROW {
            self.in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(chunks: &[Result<&'static str, ()>], longest: usize) -> Vec<(usize, Line)> {
        let chunks: Vec<Result<Bytes, ()>> =
            chunks.iter().map(|chunk| chunk.map(|text| Bytes::from_static(text.as_bytes()))).collect();
        split(stream::iter(chunks), longest).collect().await
    }

    fn whole(number: usize, text: &str) -> (usize, Line) {
        (number, Line::Whole(text.as_bytes().to_vec()))
    }

    #[tokio::test]
    async fn lines_are_found_however_they_are_cut() {
        let expected = [whole(1, "one"), whole(3, "three"), whole(4, "four")];
        assert_eq!(found(&[Ok("one\n\nthree\nfour")], 10).await, expected);
        assert_eq!(found(&[Ok("o"), Ok("ne\n \nthr"), Ok("ee\nfour\n"), Ok("")], 10).await, expected);
        assert_eq!(found(&[], 10).await, []);
        assert_eq!(found(&[Ok("one\ntw"), Err(())], 10).await, [whole(1, "one"), (2, Line::Broken)]);
    }

    #[tokio::test]
    async fn many_empty_lines_take_no_time_and_let_others_have_a_turn() {
        let mut chunk = vec![b'\n'; 1 << 20];
        chunk.extend(b"end");
        let begun = std::time::Instant::now();
        let mut lines = Box::pin(split(stream::iter([Ok(chunk.into())]), 10));
        assert!(futures::poll!(lines.next()).is_pending(), "others have a turn");
        assert_eq!(lines.next().await, Some(whole((1 << 20) + 1, "end")));
        assert_eq!(lines.next().await, None);
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn what_is_too_long_is_passed_over_and_held_nowhere() {
        let expected = [(1, Line::TooLong), whole(2, "two")];
        assert_eq!(found(&[Ok("toolong\ntwo")], 3).await, expected);
        assert_eq!(found(&[Ok("tool"), Ok("ong"), Ok("er\ntwo")], 3).await, expected);
        assert_eq!(found(&[Ok("toolong")], 3).await, [(1, Line::TooLong)]);
    }
}
