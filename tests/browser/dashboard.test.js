// What an operator sees and does at the dashboard of a running proxy.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import { Backend } from './backend.js';
import { Dashboard, startBrowser } from './dashboard.js';
import { Proxy } from './proxy.js';

const A_PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
const TOKEN = 'open sesame, and then some more of it';

let browser;

before(async () => {
  browser = await startBrowser();
});
after(() => browser.close());

/** A claim, with a stage of its own: two backends, the proxy in front of them, and its dashboard. */
function claim(sentence, story, { token, ...options } = {}) {
  test(sentence, async () => {
    const backends = [await Backend.start(), await Backend.start()];
    const proxy = await Proxy.fronting(backends, { token });
    const dashboard = await Dashboard.open(browser, proxy.door, options);
    try {
      await story({ backends, proxy, dashboard });
    } catch (error) {
      await dashboard.page.screenshot({
        path: `${sentence.replaceAll(/\W+/g, '-')}.png`,
        fullPage: true,
      });
      throw error;
    } finally {
      await dashboard.close();
      await proxy.stop('SIGKILL');
      for (const backend of backends) backend.kill();
    }
  });
}

claim(
  'a tunnel that is opened is shown, and is gone when it has ended',
  async ({ proxy, dashboard }) => {
    await dashboard.isLive();
    const client = await proxy.open('/room/7');
    const row = dashboard.tunnels.filter({ hasText: '/room/7' });
    await row.waitFor();

    client.close();
    await row.waitFor({ state: 'detached' });
  },
);

claim(
  'a backend that is killed is shown as down, with the reason',
  async ({ backends, dashboard }) => {
    const [backend] = backends;
    const row = dashboard.backend(backend);
    await row.state('ready');

    backend.kill();

    await row.state('down');
    assert.notEqual(await row.reason(), '');
    await dashboard.page
      .locator('#journal li', { hasText: 'the backend is down' })
      .filter({ hasText: backend.address })
      .waitFor();
  },
);

claim(
  'a drain asks first, closes every tunnel, and can be taken back',
  async ({ backends, proxy, dashboard }) => {
    const [backend, sibling] = backends;
    const clients = [];
    while (clients.length < 4) clients.push(await proxy.open());
    const codes = clients.map((client) => once(client, 'close').then(([code]) => code));
    const row = dashboard.backend(backend);
    await row.tunnels(2);

    await row.order('Drain');
    await dashboard.question.waitFor();
    assert.deepEqual(dashboard.orders, [], 'nothing happens before the answer');
    await dashboard.confirm('Drain');

    await row.state('draining');
    await row.tunnels(0);
    assert.equal(await Promise.race(codes), 1012);
    await dashboard.backend(sibling).tunnels(2);

    await row.order('Make ready');
    await dashboard.confirm('Make ready');
    await row.state('ready');
    assert.equal(dashboard.orders.length, 2);
    for (const client of clients) client.terminate();
  },
);

claim('a question that is called off changes nothing', async ({ backends, dashboard }) => {
  const row = dashboard.backend(backends[0]);
  await row.order('Maintenance');
  await dashboard.confirm('Cancel');
  await dashboard.question.waitFor({ state: 'detached' });
  assert.deepEqual(dashboard.orders, []);
  await row.state('ready');
});

claim('one tunnel can be ended from the table', async ({ proxy, dashboard }) => {
  const stays = await proxy.open('/stays');
  const goes = await proxy.open('/goes');
  const closed = once(goes, 'close');
  const row = dashboard.tunnels.filter({ hasText: '/goes' });

  await row.getByRole('button', { name: /^End tunnel/ }).click();
  await dashboard.confirm('End it');

  const [code] = await closed;
  assert.equal(code, 1001);
  await row.waitFor({ state: 'detached' });
  assert.equal(await dashboard.tunnels.filter({ hasText: '/stays' }).count(), 1);
  stays.terminate();
});

claim('nothing comes from elsewhere, and the console stays empty', async ({ proxy, dashboard }) => {
  const client = await proxy.open();
  await dashboard.isLive();
  await dashboard.tunnels.first().waitFor();
  await dashboard.page.getByRole('button', { name: '1 h' }).click();
  await dashboard.page.locator('#theme').click();
  await dashboard.tunnels.first().getByRole('button').first().click();
  await dashboard.question.getByText('Round trip to the backend').waitFor();

  const elsewhere = dashboard.requests.filter((request) => !request.includes(` ${proxy.door}/`));
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(dashboard.errors, []);
  client.terminate();
});

claim(
  'on a phone nothing is wider than the screen',
  async ({ proxy, dashboard }) => {
    const client = await proxy.open(
      '/a/path/that/is/longer/than/any/phone/is/wide/and/has/nothing/to/break/at',
    );
    await dashboard.tunnels.first().waitFor();
    const width = await dashboard.page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(width, A_PHONE.viewport.width);
    client.terminate();
  },
  A_PHONE,
);

claim(
  'where a token is wanted it is asked for, and nothing is shown without it',
  async ({ dashboard, backends }) => {
    const token = dashboard.question.getByLabel('Token');
    await token.fill('something else');
    await dashboard.confirm('Go on');
    await dashboard.question.getByText('not the token').waitFor();
    assert.equal(await dashboard.page.locator('[data-backend]').count(), 0);

    await token.fill(TOKEN);
    await dashboard.confirm('Go on');
    await dashboard.backend(backends[0]).state('ready');
  },
  { token: TOKEN },
);

claim(
  'when the proxy has stopped the page says that the connection is lost',
  async ({ proxy, dashboard }) => {
    await dashboard.isLive();
    await proxy.stop();
    await dashboard.page
      .getByRole('alert')
      .filter({ hasText: 'The connection to longwire is lost' })
      .waitFor();
  },
);
