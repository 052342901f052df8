FROM {node}
WORKDIR /app
COPY . .
RUN npm ci --ignore-scripts && npm run build --if-present && npm prune --omit=dev --ignore-scripts && rm -rf /root/.npm
