// vite.config.ts - one script, one style sheet, one icon, with flat, hashed
// names: controllerd serves them from /dashboard/ and lets browsers keep them
// for ever, all but index.html.
import { defineConfig } from 'vitest/config';

declare const process: { env: Record<string, string | undefined> };
const controller = process.env.VIRGA_URL ?? 'https://127.0.0.1:8443';

export default defineConfig({
  base: '/dashboard/',
  build: {
    outDir: 'dist',
    assetsDir: '',
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: URLs
    modulePreload: { polyfill: false },
    target: 'es2022',
    rollupOptions: {
      output: { hashCharacters: 'hex', inlineDynamicImports: true },
    },
  },
  // `npm run dev` answers for the API with a controller's replies.
  server: { proxy: { '/v1': { target: controller, secure: false } } },
  test: { environment: 'jsdom', include: ['test/**/*.test.{ts,tsx}'] },
});
