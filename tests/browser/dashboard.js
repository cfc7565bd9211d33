// The dashboard in a browser, and what it has asked for and complained of.

import { chromium } from 'playwright-core';

/** A browser that says nothing to anybody of its own accord. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const startBrowser = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM, args: QUIET });

export class Dashboard {
  /** Errors of scripts and of the console. */
  errors = [];
  /** Requests that were made of the page, as `METHOD URL`. */
  requests = [];

  static async open(browser, door, options = {}) {
    const context = await browser.newContext({
      viewport: { width: 1440, height: 900 },
      ...options,
    });
    const dashboard = new Dashboard(await context.newPage());
    await dashboard.page.goto(`${door}/`);
    return dashboard;
  }

  constructor(page) {
    this.page = page;
    page.setDefaultTimeout(20_000);
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && this.errors.push(message.text()));
    page.on('request', (request) => this.requests.push(`${request.method()} ${request.url()}`));
  }

  get orders() {
    return this.requests.filter((request) => request.startsWith('POST '));
  }

  async isLive() {
    await this.page.waitForSelector('#connection[data-state="live"]');
  }

  backend({ address }) {
    const row = this.page.locator(`[data-backend="${address}"]`);
    return {
      state: (state) => row.and(this.page.locator(`[data-state="${state}"]`)).waitFor(),
      tunnels: (number) =>
        row.locator('.tunnels button', { hasText: new RegExp(`^${number}$`) }).waitFor(),
      reason: () => row.locator('.reason').textContent(),
      order: (name) => row.getByRole('button', { name }).click(),
    };
  }

  get tunnels() {
    return this.page.locator('[data-tunnel]');
  }

  get question() {
    return this.page.locator('dialog[open]');
  }

  async confirm(action) {
    await this.question.getByRole('button', { name: action, exact: true }).click();
  }

  async close() {
    await this.page.context().close();
  }
}
