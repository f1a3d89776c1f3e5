// Drives the live page as a person would, in Debian's chromium: node live.mjs SCENE URL [SHOTS]
//
// SCENE is one of the functions below; SHOTS is a folder for screenshots. Ends with 0 when all that was
// expected was seen. Errors on the page's console, and whatever its policy refuses, are failures too.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const WAIT = { timeout: 20_000 };

const [, , scene, url, shots] = process.argv;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A page of its own; what went wrong on it is in `complaints`. */
async function open(context, address, complaints) {
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => (complaints.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  if (scene === "linked") await followed(page, address);
  else await page.goto(address);
  return page;
}

/** As from a letter in a browser: another site's page has the link. */
async function followed(page, address) {
  await page.route("http://elsewhere.example/", (route) => route.fulfill({ contentType: "text/html", body: `<a href="${address}">the sweep</a>` }));
  await page.goto("http://elsewhere.example/");
  await page.locator("a").click();
}

const painted = (page, id) => page.waitForFunction((id) => Number(document.getElementById(id).dataset.painted) > 0, id, WAIT);
const points = (page) => page.evaluate(() => Number(document.getElementById("plot").dataset.painted ?? 0));
const shot = async (page, name, options = {}) => shots && page.screenshot({ path: join(shots, `${name}.png`), ...options });
const settled = (page) => page.waitForFunction(() => document.querySelector("#fit table") !== null, null, { timeout: 90_000 });

/** Contrast, names, roles and the like: what a program can see of accessibility. */
async function accessible(page, what) {
  // What is fading in has not its colours yet.
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)));
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((node) => node.html).join(" | ")}`);
  assert.deepEqual(told, [], `axe on ${what}`);
}

async function noSideways(page) {
  const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= view, `the page is ${wide} wide in a window of ${view}`);
}

const scenes = {
  /** A finished sweep: everything that a reader does with one. */
  async look(page) {
    await painted(page, "plot");
    await painted(page, "grid");
    assert.equal(await page.locator("#link").textContent(), "live");
    const all = await points(page);
    assert.ok(all > 10, `${all} points`);
    await settled(page);
    await shot(page, "live-desktop");
    await accessible(page, "the sweep");

    // Zoom by dragging, then everything again.
    const ends = () => page.locator("#plot").getAttribute("data-view");
    const before = await ends();
    const box = await page.locator("#plot .u-over").boundingBox();
    await page.mouse.move(box.x + 0.3 * box.width, box.y + 0.3 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + 0.6 * box.width, box.y + 0.7 * box.height, { steps: 5 });
    await page.mouse.up();
    await page.waitForTimeout(200);
    assert.notEqual(await ends(), before, "dragging zooms");
    await shot(page, "live-zoomed");
    await page.mouse.dblclick(box.x + 0.5 * box.width, box.y + 0.5 * box.height);
    await page.waitForTimeout(200);
    assert.equal(await ends(), before, "a double click shows everything");
    assert.equal(await page.locator("#trial").isHidden(), true);

    // By keyboard: to a point, its values, its trial.
    await page.locator("#plot").focus();
    await page.keyboard.press("ArrowRight");
    assert.match(await page.locator("#tip").textContent(), /parameters/);
    assert.match(await page.locator("#live").textContent(), /training FLOPs/);
    await page.keyboard.press("Enter");
    await page.locator("#trial-keep").waitFor(WAIT);
    await page.locator("#curve canvas").waitFor(WAIT);
    await accessible(page, "a trial");
    await shot(page, "live-trial");
    await page.locator("#trial details").first().click();
    await page.waitForFunction(() => document.querySelector("#trial details pre").textContent !== "…", null, WAIT);
    await page.locator("#trial-keep").click();
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#trial").isHidden(), true);

    // By pointer: a square of the grid; its curve lies over the one that was kept.
    await page.locator("#grid").focus();
    for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
    await page.keyboard.press("Enter");
    await page.locator("#curve canvas").waitFor(WAIT);
    assert.equal(await page.locator("#curve .u-legend .u-series").count(), 3, "steps and two trials");
    await shot(page, "live-curves");
    await page.goBack();
    await page.waitForFunction(() => document.getElementById("trial").hidden, null, WAIT);

    // A prediction far away, the other axes, the table.
    await page.locator("#target").fill("1e15");
    await page.locator("#ask button").click();
    await page.waitForFunction(() => /\[.+,.+\]/.test(document.getElementById("answer")?.textContent ?? ""), null, { timeout: 60_000 });
    await page.locator("#target").fill("many");
    await page.locator("#ask button").click();
    await page.waitForFunction(() => /positive number/.test(document.getElementById("answer").textContent), null, WAIT);
    await page.locator("#target").fill("1e15");
    await page.locator("#ask button").click();
    await page.waitForFunction(() => /\[.+,.+\]/.test(document.getElementById("answer").textContent), null, WAIT);
    await page.locator("#zoom-forecast").click();
    await page.waitForTimeout(200);
    await shot(page, "live-forecast");
    await page.locator("#x").selectOption("params");
    await page.waitForTimeout(200);
    assert.equal(await points(page), all);
    await page.locator("#legend button").first().click();
    await page.waitForTimeout(200);
    assert.ok((await points(page)) < all, "a size can be hidden");
    await page.locator("#as-table").click();
    assert.ok((await page.locator("#table-view tbody tr").count()) > 10);
    await page.locator("#table-view th button", { hasText: "validation error" }).click();
    await accessible(page, "the table");
    await page.locator("#table-view .id").first().click();
    await page.locator("#curve canvas").waitFor(WAIT);
    return { points: all };
  },

  /** The same on a phone. */
  async phone(page) {
    await painted(page, "plot");
    await painted(page, "grid");
    await settled(page);
    await noSideways(page);
    await accessible(page, "a phone");
    await shot(page, "live-phone", { fullPage: true });
    await page.locator("#as-table").click();
    await page.locator("#table-view .id").first().click();
    await page.locator("#curve canvas").waitFor(WAIT);
    await noSideways(page);
    await shot(page, "live-phone-trial");
    return {};
  },

  async dark(page) {
    await painted(page, "plot");
    await painted(page, "grid");
    await settled(page);
    await accessible(page, "the dark page");
    await shot(page, "live-dark", { fullPage: true });
    return {};
  },

  /** A sweep that is being trained: points land without the page being loaded again. */
  async watch(page) {
    await page.locator("#sweep").waitFor(WAIT);
    await page.evaluate(() => (window.sameDocument = true));
    const first = await points(page);
    await page.waitForFunction((first) => Number(document.getElementById("plot").dataset.painted) >= first + 2, first, { timeout: 60_000 });
    const then = await points(page);
    await shot(page, "live-landing");
    await page.waitForFunction(() => /^(\d+) trials: \1 finished/.test(document.getElementById("bar").getAttribute("aria-label")), null, { timeout: 120_000 });
    assert.equal(await page.evaluate(() => window.sameDocument), true, "the page was never loaded again");
    return { first, then, last: await points(page) };
  },

  /** Two sweeps over each other. */
  async compare(page) {
    await painted(page, "plot");
    await page.locator("#sweeps input:not(:disabled)").first().check();
    await page.waitForFunction(() => [...document.querySelectorAll("#legend button")].filter((b) => /frontier/.test(b.textContent)).length === 2, null, { timeout: 90_000 });
    await accessible(page, "a comparison");
    await shot(page, "live-compare", { fullPage: true });
    return {};
  },

  /** The curve of a trial grows while it is trained, and is asked for no more when it has ended. */
  async growing(page) {
    let asked = 0;
    await page.route("**/api/trials/*", async (route) => {
      const response = await route.fetch();
      const trial = await response.json();
      asked += 1;
      trial.sweeps[0].state = asked < 3 ? 1 : 2;
      trial.curves = { val_loss: { step: [1, 10 * asked], value: [2, 1] } };
      await route.fulfill({ response, json: trial });
    });
    await painted(page, "plot");
    await page.locator("#plot").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    for (const step of ["10", "20", "30"]) {
      await page.waitForFunction((step) => document.getElementById("curve")?.getAttribute("aria-label")?.endsWith(`after ${step} steps`), step, WAIT);
    }
    await page.waitForTimeout(4000);
    assert.equal(asked, 3);
    return {};
  },

  /** A store without sweeps says so, and shows the first one when it begins. */
  async empty(page) {
    await page.waitForFunction(() => /no sweeps yet/.test(document.getElementById("problem").textContent), null, WAIT);
    await page.waitForTimeout(1500);
    assert.equal(await page.locator("#problem").isHidden(), false, "the list of no sweeps takes nothing back");
    await page.locator("#sweep").waitFor({ timeout: 60_000 });
    assert.equal(await page.locator("#problem").isHidden(), true);
    await painted(page, "grid");
    return {};
  },

  /** A sweep that is not there is said, for as long as it is so. */
  async missing(page) {
    const told = () => page.locator("#problem").textContent();
    await page.waitForFunction(() => /no sweep/.test(document.getElementById("problem").textContent), null, WAIT);
    await page.waitForTimeout(1500);
    assert.match(await told(), /no sweep `none`/);
    assert.equal(await page.locator("#problem").isHidden(), false);
    await accessible(page, "a missing sweep");
    await page.locator("#sweeps a").first().click();
    await painted(page, "plot");
    assert.equal(await page.locator("#problem").isHidden(), true);
    return {};
  },

  /** By a link on a page elsewhere, which a token must survive. */
  async linked(page) {
    await painted(page, "plot");
    const address = page.url();
    assert.doesNotMatch(address, /token/);
    return {};
  },

  /** Names that would like to be markup. */
  async hostile(page) {
    await page.locator("#sweep").waitFor(WAIT);
    await page.waitForTimeout(500);
    assert.match(await page.locator("#name").textContent(), /<script>|<img/);
    assert.equal(await page.locator("main img, main script, nav img, nav script").count(), 0);
    assert.equal(await page.evaluate(() => window.harmed), undefined);
    await noSideways(page);
    await shot(page, "live-hostile");
    return {};
  },

  /** Ten thousand trials: how long until something, and until everything, is there. */
  async many(page) {
    await painted(page, "grid");
    await painted(page, "plot");
    const times = await page.evaluate(() => ({
      first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0].startTime,
      trials_ms: performance.getEntriesByName("trials-drawn")[0].startTime,
      loaded: performance.getEntriesByType("resource").map(({ name, duration, decodedBodySize }) => [new URL(name).pathname, duration, decodedBodySize]).filter(([path]) => path.startsWith("/api")),
    }));
    assert.ok(times.first_paint_ms < 1000, JSON.stringify(times));
    const frame = await page.evaluate(async () => {
      const began = performance.now();
      for (let i = 0; i < 10; i += 1) {
        document.getElementById(i % 2 ? "zoom-out" : "zoom-in").click();
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      }
      return (performance.now() - began) / 10;
    });
    await shot(page, "live-many", { fullPage: true });
    await page.locator("#as-table").click();
    await page.locator("#table-view th button", { hasText: "validation error" }).click();
    assert.equal(await page.locator("#table-view tbody tr").count(), 100);
    return { ...times, zoom_ms: frame, points: await points(page) };
  },
};

const profile = await mkdtemp(join(tmpdir(), "isoflop-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: PROGRAM, headless: true, args: FLAGS, viewport: scene === "phone" ? PHONE : DESKTOP,
  colorScheme: scene === "dark" ? "dark" : "light", deviceScaleFactor: scene === "phone" ? 2 : 1,
  isMobile: scene === "phone", hasTouch: scene === "phone",
});
const complaints = [];
let page = null;
try {
  page = await open(context, url, complaints);
  const told = await scenes[scene](page);
  // A refused question is the server's answer, and the browser's log says so too.
  const own = complaints.filter((text) => !/status of 40[04]/.test(text));
  assert.deepEqual(own, [], "the page's console");
  console.log(JSON.stringify({ scene, ...told }));
} catch (error) {
  console.error(error.message, complaints);
  if (page) await shot(page, `failed-${scene}`);
  process.exitCode = 1;
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}
