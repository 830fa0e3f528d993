"use strict";
const sample = document.body.dataset.sample;
const cards = [...document.querySelectorAll(".card")];
const read = (card) => ({
  latent: Number(card.dataset.latent),
  label: card.dataset.label,
  verdict: card.querySelector("input[type=radio]:checked")?.value ?? "",
  correction: card.querySelector("input[type=text]").value.trim(),
});
const kept = "toprope-review-" + sample;
function update() {
  const answers = cards.map(read);
  cards.forEach((card, i) => {
    card.classList.toggle("done", answers[i].verdict !== "");
    card.classList.toggle("correcting", answers[i].verdict === "correct");
  });
  const done = answers.filter((one) => one.verdict).length;
  document.getElementById("progress").textContent = done + " of " + cards.length + " answered";
  try { localStorage.setItem(kept, JSON.stringify(answers)); } catch { /* a page that may not store anything still saves to a file */ }
  return answers;
}
try {
  for (const one of JSON.parse(localStorage.getItem(kept) ?? "[]")) {
    const card = cards.find((each) => Number(each.dataset.latent) === one.latent);
    const chosen = [...card.querySelectorAll("input[type=radio]")].find((each) => each.value === one.verdict);
    if (chosen) chosen.checked = true;
    card.querySelector("input[type=text]").value = one.correction;
  }
} catch { /* nothing was kept, or nothing that can be read */ }
document.addEventListener("input", update);
document.getElementById("save").addEventListener("click", () => {
  const answers = update().filter((one) => one.verdict);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ sample, answers }, null, 1)], { type: "application/json" }));
  link.download = "answers.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
update();
