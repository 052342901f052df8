FROM {node}
WORKDIR /app
COPY . .
RUN npm install --global pnpm@10 \
 && pnpm install --frozen-lockfile --ignore-scripts \
 && pnpm run build \
 && CI=true pnpm prune --prod --ignore-scripts \
 && npm uninstall --global pnpm \
 && rm -rf /root/.npm /root/.local /root/.cache
