"use strict";
// Sorts and filters the tables. Every value is set as text, never as markup.
(() => {
  const STEP = 200;
  const names = new Intl.Collator("en", { numeric: true });
  const UNKNOWN = new Set(["", "n/a", "-"]);

  const make = (tag, properties = {}, children = []) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const fromElement = (line) => {
    const cells = [...line.cells];
    return {
      line,
      texts: cells.map((cell) => cell.textContent),
      values: cells.map((cell) => ("value" in cell.dataset ? Number(cell.dataset.value) : null)),
    };
  };

  const fromJson = ([texts, values]) => ({
    line: null,
    texts,
    values: values.map((value) => (value === null ? null : Number(value))),
  });

  const lineOf = (row, heads) => {
    if (row.line) return row.line;
    row.line = document.createElement("tr");
    row.texts.forEach((text, place) => {
      const cell = make(place ? "td" : "th", { className: heads[place].className });
      if (!place) cell.scope = "row";
      if (row.values[place] !== null) cell.dataset.value = row.values[place];
      if (cell.className === "mark" && text) {
        const badge = make("span", { className: "badge", textContent: text });
        badge.dataset.badge = text;
        cell.append(badge);
      } else {
        cell.textContent = text;
      }
      row.line.append(cell);
    });
    return row.line;
  };

  // Numbers before names; what is unknown comes last in both directions.
  const compare = (place, direction) => (one, two) => {
    const unknown = UNKNOWN.has(one.texts[place]) - UNKNOWN.has(two.texts[place]);
    if (unknown) return unknown;
    const [a, b] = [one.values[place], two.values[place]];
    if (a !== null && b !== null) return direction * (a < b ? -1 : a > b ? 1 : 0);
    if (a !== null || b !== null) return a !== null ? -direction : direction;
    return direction * names.compare(one.texts[place], two.texts[place]);
  };

  const enhance = (box) => {
    const table = box.querySelector("table");
    if (!table) return;
    const heads = [...table.tHead.rows[0].cells];
    const labels = heads.map((head) => head.textContent);
    const rest = box.querySelector("script.rest");
    const rows = [...table.tBodies[0].rows].map(fromElement);
    if (rest) rows.push(...JSON.parse(rest.textContent).map(fromJson));
    const headline = new Set(JSON.parse(box.dataset.headline));
    const count = box.querySelector(".count");
    const state = { words: [], chosen: new Map(), sort: null, limit: STEP };
    const more = make("button", { type: "button", className: "more", textContent: `Show ${STEP} more rows` });
    count.after(more);

    const matches = (row) =>
      state.words.every((word) => row.texts.some((text) => text.toLowerCase().includes(word))) &&
      [...state.chosen].every(([place, fits]) => fits(row.texts[place]));

    const show = () => {
      const found = rows.filter(matches);
      if (state.sort) found.sort(compare(state.sort.place, state.sort.direction));
      const shown = found.slice(0, state.limit);
      table.tBodies[0].replaceChildren(...shown.map((row) => lineOf(row, heads)));
      more.hidden = shown.length === found.length;
      const among = found.length === rows.length ? "" : ` that match, of ${rows.length}`;
      count.textContent = `${shown.length} of ${found.length} rows${among}.`;
    };

    more.addEventListener("click", () => {
      state.limit += STEP;
      show();
    });

    const restart = () => {
      state.limit = STEP;
      show();
    };

    heads.forEach((head, place) => {
      const button = make("button", { type: "button", textContent: labels[place] });
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "descending" : "ascending");
        state.sort = { place, direction: up ? -1 : 1 };
        restart();
      });
    });

    const chooser = (place) => {
      const present = [...new Set(rows.map((row) => row.texts[place]))].filter(Boolean);
      const choices = [["all", () => true], ...present.map((text) => [text, (found) => found === text])];
      if (headline.size && labels[place] === "metric") {
        choices.unshift(["headline metrics", (found) => headline.has(found)]);
      }
      const select = make("select", {}, choices.map(([textContent]) => make("option", { textContent })));
      state.chosen.set(place, choices[0][1]);
      select.addEventListener("change", () => {
        state.chosen.set(place, choices[select.selectedIndex][1]);
        restart();
      });
      return make("label", { textContent: labels[place] }, [select]);
    };

    const find = make("input", { type: "search", placeholder: "words" });
    find.addEventListener("input", () => {
      state.words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      restart();
    });
    const choosers = heads.flatMap((head, place) => ("filter" in head.dataset ? [chooser(place)] : []));
    const controls = make("div", { className: "controls" }, [make("label", { textContent: "find" }, [find]), ...choosers]);
    if (rows.length > 1) box.querySelector(".scroll").before(controls);
    show();
  };

  document.querySelectorAll(".table").forEach(enhance);
  // Paper cannot be clicked: notes are printed, data of figures stay folded.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details.notes").forEach((notes) => { notes.open = true; });
  });
})();
